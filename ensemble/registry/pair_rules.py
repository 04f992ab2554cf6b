"""Which pairs a project may use, and what looks wrong about those that it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backbones.formats.named_pairs import NamedPairs
from backbones.pair_store import Pairs
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from ensemble.registry.pair_sources import is_leak
from postproc.second_stage.traits import usual_score

# pairs that are looked up in the other direction, and the fewest that say anything
_ASKED, _ENOUGH = 1000, 50


def listed_names(catalogue: Catalogue) -> list[str]:
    """Every photo of a catalogue: train, test, then those without a known individual."""
    rest = catalogue.frame.filter(catalogue.frame["split"] == "unlabelled")["image"].to_list()
    return [*catalogue.train_images, *catalogue.test_images, *rest]


def allowed(pairs: NamedPairs, catalogue: Catalogue, names: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """(m,) bool which pairs may stay, and how many others there are by rule.

    Somebody who lists a pair means it: one that would leak is refused. A matrix has a cell for every pair, so there it
    is left out. Photos without a known individual are left out of both, as `register` passes over them.

    Parameters
    ----------
    pairs : NamedPairs
        Places in `names`.
    catalogue : Catalogue
    names : sequence of str
        As `listed_names` has them.
    """
    n_train = len(catalogue.train_images)
    unlabelled = np.maximum(pairs.query, pairs.gallery) >= n_train + len(catalogue.test_images)
    test_gallery = ~unlabelled & (pairs.gallery >= n_train)
    leaking = ~unlabelled & ~test_gallery & (pairs.query < n_train)
    leaking[leaking] = is_leak(catalogue, pairs.query[leaking], pairs.gallery[leaking])
    if not pairs.is_matrix:
        for broken, rule in ((test_gallery, _is_test), (leaking, _is_leaking)):
            at = np.flatnonzero(broken)
            if len(at):
                query, gallery = int(pairs.query[at[0]]), int(pairs.gallery[at[0]])
                more = f"; {len(at)} rows break this rule" if len(at) > 1 else ""
                text = rule(catalogue, query, gallery, names)
                raise FinblendError(
                    f"{pairs.place(at[0])}: query {names[query]}, gallery {names[gallery]}: {text}{more}"
                )
    counts = {"leaking": leaking, "test_gallery": test_gallery, "unlabelled": unlabelled}
    return ~(leaking | test_gallery | unlabelled), {rule: int(mask.sum()) for rule, mask in counts.items()}


def _is_test(catalogue: Catalogue, query: int, gallery: int, names: Sequence[str]) -> str:
    return f"{names[gallery]} is a test photo, and gallery photos are train photos; leave such pairs out"


def _is_leaking(catalogue: Catalogue, query: int, gallery: int, names: Sequence[str]) -> str:
    what = "a photo is compared with itself" if query == gallery else "both are of one encounter"
    return (
        f"{what}, and a train photo is named by other encounters only; leave such pairs out "
        "(catalogue.parquet of the project has the column encounter)"
    )


def refuse_twice(key: np.ndarray, order: np.ndarray, files: Sequence[NamedPairs], names: Sequence[str]) -> None:
    """Refuse a pair that stands twice.

    Parameters
    ----------
    key : (m,) int64 array
        Query times number of names plus gallery, of all files one after the other.
    order : (m,) int array
        Sorts the key, stably.
    files, names
        What the pairs are from.
    """
    in_order = key[order]
    twice = np.flatnonzero(in_order[1:] == in_order[:-1])
    if not len(twice):
        return
    earlier, later = (_place(files, int(order[twice[0] + step])) for step in (0, 1))
    query, gallery = divmod(int(in_order[twice[0]]), len(names))
    raise FinblendError(
        f"{later}: query {names[query]}, gallery {names[gallery]}: stands in {earlier}, too; a pair stands once"
    )


def _place(files: Sequence[NamedPairs], pair: int) -> str:
    for read in files:
        if pair < len(read):
            return read.place(pair)
        pair -= len(read)
    raise AssertionError(pair)


def likeness(train: Pairs, test: Pairs) -> tuple[float, Pairs, Pairs]:
    """Scores from distances: usual / (usual + distance), `usual` being the median of the train pairs' above 0.

    It falls with the distance from 1 to 0 and needs no bound on it: a sentinel such as 1e9 becomes 0 and moves nothing.
    """
    usual = usual_score(train.score)
    scores = [(usual / (usual + each.score.astype(np.float64))).astype(np.float32) for each in (train, test)]
    return usual, replace(train, score=scores[0]), replace(test, score=scores[1])


def refuse_negative(files: Sequence[NamedPairs]) -> None:
    """Refuse distances below 0."""
    for read in files:
        below = np.flatnonzero(read.score < 0)
        if len(below):
            raise FinblendError(
                f"{read.place(below[0])}: {read.columns['score']} is {read.score[below[0]]:g}; with --lower-is-better "
                "scores are distances, 0 or more"
            )


def warnings_of(train: Pairs, catalogue: Catalogue) -> list[str]:
    """What looks wrong about out-of-fold pairs."""
    found = []
    same = catalogue.labels[train.query] == catalogue.labels[train.gallery]
    if same.any() and not same.all() and np.median(train.score[same]) < np.median(train.score[~same]):
        found.append(
            "pairs of one individual score lower than those of two, by their medians: "
            "are these distances, or does --lower-is-better not belong?"
        )
    key = train.query.astype(np.int64) << 32 | train.gallery
    asked = key[:: max(len(key) // _ASKED, 1)]
    back = (asked & 0xFFFFFFFF) << 32 | asked >> 32
    at = np.minimum(np.searchsorted(key, back), len(key) - 1)
    if len(asked) >= _ENOUGH and not (key[at] == back).any():
        found.append(
            "no pair of train photos stands in both directions: was each compared once? A pair says nothing of its "
            "gallery photo as a query; write it both ways"
        )
    return found
