"""Evidence grows with its models: what is known is not computed again, and the result is that of starting over."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import add, add_trained, few_candidates
from retrievals import retriever_with
from small import Small

import ensemble.retrieval.evidence
import ensemble.retrieval.neighbours
import ensemble.retrieval.one_pass
import ensemble.retrieval.task
import postproc.evidence.build
from cv import FinblendError
from cv.left_out import FOLD
from ensemble import init
from ensemble.project.cache import entries
from ensemble.retrieval.query_set import QuerySet
from postproc import Evidence, Space

WIDTHS = {"a": 24, "b": 23, "c": 22}
TOGETHER = "all models together"


class Work:
    """What was searched and compared, by the model whose space it was in; models here differ in their widths."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.searched: dict[str, set[int]] = defaultdict(set)
        self.same_species: dict[str, set[int]] = defaultdict(set)
        self.pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.pruned = 0
        top_k, pair_similarities, prune = (
            ensemble.retrieval.neighbours.top_k,
            postproc.evidence.build.pair_similarities,
            ensemble.retrieval.evidence.prune,
        )

        search_lists = ensemble.retrieval.one_pass.search_lists

        def search(spaces: list[tuple[Space, int]], k: int, k_fused: int, *, known: list[bool], **named: Any) -> Any:
            names = [name_of(space) for (space, _), has in zip(spaces, known, strict=True) if not has]
            for name in [*names, *[TOGETHER] * bool(k_fused)]:
                for rows in (self.searched, self.same_species):
                    rows[name] |= set(named["query_rows"].tolist())
            return search_lists(spaces, k, k_fused, known=known, **named)

        def again(space: Space, *given: Any, **named: Any) -> Any:
            self.same_species[name_of(space)] |= set(named["query_rows"].tolist())
            return top_k(space, *given, **named)

        def compare(space: Space, view: int, rows: np.ndarray, query: np.ndarray, photo: np.ndarray) -> np.ndarray:
            self.pairs[name_of(space)].extend(zip(rows[query].tolist(), photo.tolist(), strict=True))
            return pair_similarities(space, view, rows, query, photo)

        def leave_out(*given: Any) -> Evidence:
            self.pruned += 1
            return prune(*given)

        patch.setattr(ensemble.retrieval.one_pass, "search_lists", search)
        patch.setattr(ensemble.retrieval.neighbours, "top_k", again)
        patch.setattr(postproc.evidence.build, "pair_similarities", compare)
        patch.setattr(ensemble.retrieval.evidence, "prune", leave_out)

    @property
    def none(self) -> bool:
        return not (self.searched or self.same_species or any(self.pairs.values()) or self.pruned)


def name_of(space: Space) -> str:
    widths = {task[0].shape[1] for task in space.gallery}
    return TOGETHER if len(widths) > 1 else {width: name for name, width in WIDTHS.items()}[widths.pop()]


Ask = Callable[..., QuerySet]


def ask_test(project: Path, names: list[str] | None = None, **whitening: str) -> QuerySet:
    return retriever_with(project, names, whitening=whitening).of_test()


def ask_out_of_fold(project: Path, names: list[str] | None = None, **whitening: str) -> QuerySet:
    # a model trained per fold is to join frozen ones under one rule
    return retriever_with(project, names, whitening=whitening, leave_out=FOLD).out_of_fold()


@pytest.fixture
def grow(tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two of three models; with four photos a search there is something to compare and to leave out."""
    few_candidates(monkeypatch, 4)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(["a", "b"]):
        add(tmp_path / "P", small, name, seed + 1, noise=4.0, width=WIDTHS[name])
    return tmp_path / "P"


def equal(one: QuerySet, other: QuerySet) -> bool:
    """The same evidence of the same sources, species and all."""
    assert one.evidence.sources == other.evidence.sources
    mine, theirs = one.evidence.arrays(), other.evidence.arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    np.testing.assert_array_equal(one.species.mismatch, other.species.mismatch)
    np.testing.assert_array_equal(one.species.likely, other.species.likely)
    return True


def over_again(project: Path, ask: Ask, **options: Any) -> QuerySet:
    shutil.rmtree(project / "cache")
    return ask(project, **options)


def whole_pairs(project: Path, task: str) -> set[tuple[int, int]]:
    """(query in the part, photo) pairs of the evidence that is kept before pruning."""
    ((_, arrays),) = entries(project / "cache", f"evidence-{task}")
    per_query = np.diff(arrays["photo_start"][arrays["group_start"]])
    query = np.repeat(np.arange(len(per_query)), per_query)
    return set(zip(query.tolist(), arrays["photo"].tolist(), strict=True))


@pytest.mark.parametrize("ask", [ask_test, ask_out_of_fold])
def test_nothing_is_computed_twice(grow: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(grow)
    work = Work(monkeypatch)
    assert equal(ask(grow), first)
    assert work.none


def test_a_further_model_is_compared_on_what_is_new_only(
    grow: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask_test(grow)
    known = whole_pairs(grow, "test")
    add(grow, small, "c", 3, noise=20.0, width=WIDTHS["c"])
    with monkeypatch.context() as patch:
        work = Work(patch)
        after = ask_test(grow)
    everybody = set(range(12))
    assert work.searched == {"c": everybody, TOGETHER: everybody}
    changed = set(np.flatnonzero(before.species.likely != after.species.likely).tolist())
    assert 0 < len(changed) < 12
    assert work.same_species == {"a": changed, "b": changed, "c": everybody, TOGETHER: everybody}
    together = whole_pairs(grow, "test")
    for name in ("a", "b"):
        pairs = work.pairs[name]
        assert len(pairs) == len(set(pairs)) > 0
        assert not set(pairs) & known, "a pair that the older evidence holds was computed again"
        assert set(pairs) <= together
    assert len(work.pairs["c"]) == len(set(work.pairs["c"])) < len(together), "its own neighbours are known"
    assert equal(over_again(grow, ask_test), after)


def test_a_further_model_out_of_fold_ends_as_starting_over_would(
    grow: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask_out_of_fold(grow)
    add_trained(grow, small, "c", 3, noise=4.0, width=WIDTHS["c"], views=["orig", "hflip"])
    with monkeypatch.context() as patch:
        work = Work(patch)
        after = ask_out_of_fold(grow)
    assert work.searched == {"c": set(range(60))}
    changed = set(np.flatnonzero(before.species.likely != after.species.likely).tolist())
    assert 0 < len(changed) < 60
    assert work.same_species == {"a": changed, "b": changed, "c": set(range(60))}
    assert equal(over_again(grow, ask_out_of_fold), after)


def test_a_model_with_other_views_turns_a_source_to_the_mean_of_its_own(grow: Path, small: Small) -> None:
    add(grow, small, "c", 3, views=["orig", "hflip"], width=WIDTHS["c"])
    ask_test(grow)
    add(grow, small, "d", 4, views=["orig", "crop"], width=21)
    after = ask_test(grow)
    # a and b with one view each, c and d with two and their means
    assert after.evidence.similarity.shape[1] == 8
    assert equal(over_again(grow, ask_test), after)


@pytest.mark.parametrize("ask", [ask_test, ask_out_of_fold])
def test_fewer_models_and_more_again_are_as_starting_over(grow: Path, small: Small, ask: Ask) -> None:
    add(grow, small, "c", 3, noise=4.0, width=WIDTHS["c"])
    every = ask(grow)
    fewer = ask(grow, names=["c", "a"])
    assert fewer.evidence.sources == ("c", "a")
    again = ask(grow)
    assert equal(again, every)
    assert equal(over_again(grow, ask, names=["c", "a"]), fewer)


@pytest.mark.parametrize("ask", [ask_test, ask_out_of_fold])
def test_a_replaced_model_is_searched_anew_and_the_others_are_not(
    grow: Path, small: Small, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(grow)
    add(grow, small, "b", 7, noise=1.5, width=WIDTHS["b"], replace=True)
    with monkeypatch.context() as patch:
        work = Work(patch)
        after = ask(grow)
    assert set(work.searched) == {"b", TOGETHER}
    assert len(work.searched["b"]) == len(after.images)
    with pytest.raises(AssertionError):
        equal(before, after)
    assert equal(over_again(grow, ask), after)


def test_further_photos_are_those_of_the_models_there_are(grow: Path, small: Small) -> None:
    before = ask_out_of_fold(grow).evidence_for(2).arrays()
    add(grow, small, "b", 7, noise=1.5, width=WIDTHS["b"], replace=True)
    after = ask_out_of_fold(grow).evidence_for(2).arrays()
    fresh = over_again(grow, ask_out_of_fold).evidence_for(2).arrays()
    assert len(fresh["further_photo"]) > 0
    for name, array in fresh.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    assert not np.array_equal(before["further_similarity"], after["further_similarity"])


def test_another_whitening_is_searched_anew(grow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_test(grow)
    with monkeypatch.context() as patch:
        work = Work(patch)
        after = ask_test(grow, a="total")
    assert set(work.searched) == {"a", TOGETHER}
    assert equal(over_again(grow, ask_test, a="total"), after)


def test_more_neighbours_are_not_answered_with_fewer(grow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ask_test(grow)
    monkeypatch.setattr(ensemble.retrieval.task, "NEAREST", 6)
    more = ask_test(grow)
    assert len(more.evidence.photo) > len(few.evidence.photo)
    assert equal(over_again(grow, ask_test), more)


def test_embeddings_damaged_since_are_refused_before_they_are_compared(grow: Path, small: Small) -> None:
    ask_test(grow)
    add(grow, small, "c", 3, width=WIDTHS["c"])
    file = next((grow / "stores" / "b").glob("*/train*"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(FinblendError, match=file.name):
        ask_test(grow)
