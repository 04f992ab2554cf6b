"""Single queries over the whole gallery against all individuals one by one, to the bit; copied photos make ties."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    Photos,
    one_thread,  # noqa: F401
    random_weights,
    same_ranking,
)

from postproc import NOBODY, Gallery, Ranking
from postproc.evidence.channels import channel_table
from postproc.neighbours.search import pair_similarities
from postproc.ranking.exhaustive import ExhaustiveSearch
from postproc.ranking.rank import Species
from postproc.ranking.ranking import DEPTH

VIEWS = (
    {"a": ["orig"]},
    {"a": ["orig"], "b": ["crop"]},
    {"a": ["orig", "hflip"], "b": ["orig"], "c": ["hflip", "crop"]},
)


@cache
def scene(seed: int, views: int, parts: int) -> Photos:
    """Photos of 13 individuals, a third of them copies."""
    return Photos(seed, 42, 13, VIEWS[views], parts=parts, twins=14)


@cache
def table(seed: int, views: int, parts: int) -> list[np.ndarray]:
    """(photos, photos) similarities in each column."""
    photos = scene(seed, views, parts)
    n = len(photos.labels)
    query, gallery = (grid.ravel().astype(np.int32) for grid in np.mgrid[:n, :n])
    columns = []
    for source, view in channel_table(photos.views)[1]:
        own = range(len(photos.views[source])) if view is None else [view]
        found = [pair_similarities(photos.spaces[source], v, np.arange(n), query, gallery) for v in own]
        columns.append(np.mean(found, axis=0).reshape(n, n))
    return columns


def slow_rank(
    photos: Photos,
    columns: list[np.ndarray],
    q: int,
    fold: int | None,
    weights: np.ndarray,
    top_photos: int,
    penalty: float,
) -> tuple[list[tuple[float, int]], dict[int, dict[int, float]]]:
    """Score and label of everybody, best first, and by label what each gallery photo scores in its better view."""
    channels = channel_table(photos.views)[0]
    people: dict[int, list[int]] = {}
    for g, who in enumerate(photos.labels.tolist()):
        if fold is None or photos.folds[g] != fold:
            people.setdefault(who, []).append(g)
    ranked, like = [], {}
    for who, own in people.items():
        total = 0.0
        like[who] = dict.fromkeys(own, -np.inf)
        for view in range(channels.shape[1]):
            score = {
                g: sum(w * float(columns[channels[s, view]][q, g]) for s, w in enumerate(weights.tolist()) if w > 0)
                for g in own
            }
            best = sorted(score.values(), reverse=True)[:top_photos]
            total += sum(best) / len(best)
            like[who] = {g: max(like[who][g], score[g]) for g in own}
        mismatch = float(photos.species.mismatch[q, photos.species.of_individual[who]])
        ranked.append((float(np.float32(total / channels.shape[1] - penalty * mismatch)), who))
    return sorted(ranked, key=lambda found: (-found[0], found[1])), like


def whole_gallery(photos: Photos, fold: int | None) -> ExhaustiveSearch:
    """With a fold, its photos are the queries and the others the gallery."""
    groups = None if fold is None else photos.folds
    return ExhaustiveSearch(photos.spaces, photos.views, Gallery(photos.labels, groups, query_groups=groups))


def drawn(photos: Photos, seed: int, fold: int | None) -> tuple[np.ndarray, np.ndarray, Species]:
    """Some rows, a recipe for each of them, and their species."""
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(photos.folds == (0 if fold is None else fold))
    rows = rng.permutation(rows)[: rng.integers(1, 8)]
    return rows, np.stack([random_weights(rng, len(photos.views)) for _ in rows]), photos.species_of(rows)


@examples(150)
@given(
    seed=st.integers(0, 5),
    draw=st.integers(0, 100_000),
    views=st.integers(0, 2),
    parts=st.sampled_from([1, 1, 3]),
    fold=st.sampled_from([None, 0, 2]),
    top_photos=st.integers(1, 4),
    penalty=st.sampled_from([0.0, 0.1, 3.0, 1e7]),
)
def test_it_equals_the_scores_of_all_individuals_one_by_one(
    seed: int, draw: int, views: int, parts: int, fold: int | None, top_photos: int, penalty: float
) -> None:
    photos, columns = scene(seed, views, parts), table(seed, views, parts)
    rows, weights, species = drawn(photos, draw, fold)
    got = whole_gallery(photos, fold).rank(
        rows, weights, top_photos=top_photos, species_penalty=penalty, species=species
    )
    assert got.individual.shape == got.score.shape == got.photo.shape == (len(rows), DEPTH)
    assert got.unseen_upper_bound is not None
    assert np.isneginf(got.unseen_upper_bound).all()
    for i, q in enumerate(rows):
        ranked, like = slow_rank(photos, columns, int(q), fold, weights[i], top_photos, penalty)
        assert got.score[i].tolist() == [score for score, _ in ranked[:DEPTH]]
        assert got.individual[i].tolist() == [who for _, who in ranked[:DEPTH]]
        for who, photo in zip(got.individual[i].tolist(), got.photo[i].tolist(), strict=True):
            assert like[who][photo] == max(like[who].values())


def test_ties_occur_in_these_scenes() -> None:
    ties = 0
    for seed in range(6):
        photos = scene(seed, 1, 1)
        rows, weights, species = drawn(photos, seed, 0)
        got = whole_gallery(photos, 0).rank(rows, weights, top_photos=1, species_penalty=0.0, species=species)
        ties += int((np.diff(got.score, axis=1) == 0).sum())
    assert ties > 5


@pytest.mark.parametrize("memory_mb", [0, 0.005])
@pytest.mark.parametrize("views", [1, 2])
def test_little_memory_gives_the_same_answer_in_more_blocks(views: int, memory_mb: Any) -> None:
    photos = scene(3, views, 1)
    rows, weights, species = np.arange(42), np.full((42, len(VIEWS[views])), 1 / len(VIEWS[views])), photos.species
    whole = whole_gallery(photos, None)
    options = {"top_photos": 2, "species_penalty": 0.1, "species": species}
    blocks: list[int] = []
    got = whole.rank(rows, weights, **options, memory_mb=memory_mb, progress=blocks.append)
    assert len(blocks) > 5
    assert sum(blocks) == 42
    assert same_ranking(got, whole.rank(rows, weights, **options))


def test_galleries_of_a_few_individuals_leave_places_empty() -> None:
    photos = Photos(0, 12, 3, VIEWS[1])
    rows = np.flatnonzero(photos.folds == 1)
    got = whole_gallery(photos, 1).rank(
        rows, np.full((len(rows), 2), 0.5), top_photos=1, species_penalty=0.0, species=photos.species_of(rows)
    )
    there = len(np.unique(photos.labels[photos.folds != 1]))
    assert ((got.individual != NOBODY).sum(axis=1) == there).all()
    assert np.isneginf(got.score[:, there:]).all()
    assert not got.is_open(DEPTH).any()


def test_no_queries_give_an_empty_ranking() -> None:
    photos = scene(0, 1, 1)
    none = np.arange(0)
    got = whole_gallery(photos, 0).rank(
        none, np.empty((0, 2)), top_photos=1, species_penalty=0.0, species=photos.species_of(none)
    )
    assert isinstance(got, Ranking)
    assert got.individual.shape == got.score.shape == got.photo.shape == (0, DEPTH)
    assert not len(got.is_open(5))
