"""Traits of pair sources: the contract, values worked by hand, and candidates that pairs bring in by a slow search."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from paired import with_random_pairs
from scenes import CHANNELS, N_PEOPLE, one_thread, random_evidence, random_species, random_weights  # noqa: F401

from cv.errors import FinblendError
from postproc import NOBODY
from postproc.second_stage.candidates import FURTHER, Candidates, candidates_of
from postproc.second_stage.candidates_kernels import BEST, SECOND
from postproc.second_stage.cohort import NO_FOLD
from postproc.second_stage.traits import (
    PAIR_KINDS,
    CandidateRows,
    PairCohort,
    PairColumn,
    PairTrait,
    Trait,
    pair_traits,
    usual_score,
)
from postproc.testing import TraitContract


class TestPairTraits(TraitContract):
    @pytest.fixture(params=PAIR_KINDS)
    def trait(self, request: pytest.FixtureRequest) -> Trait:
        return PairTrait(request.param, PairColumn("marks", 2, 5.0))

    def known(self, trait: Trait, rows: CandidateRows) -> np.ndarray:
        pairs = rows.candidates.pairs[:, :, 2]
        compared = ~np.isnan(pairs[..., BEST])
        if trait.name == "second:marks":
            return compared & ~np.isnan(pairs[..., SECOND])
        if trait.name == "lead:marks":
            return compared & (compared.sum(axis=1, keepdims=True) > 1)
        return compared


class TestPairCohort(TraitContract):
    @pytest.fixture
    def trait(self) -> Trait:
        return PairCohort(PairColumn("marks/second", 1, 5.0), lambda rows: background_told(rows, 20))

    def known(self, trait: Trait, rows: CandidateRows) -> np.ndarray:
        return ~np.isnan(rows.candidates.pairs[:, :, 1, BEST])


def background_told(rows: CandidateRows, people: int) -> np.ndarray:
    """A background that rises with the individual, from another level in every fold."""
    return rows.fold[:, None] + 2 * np.maximum(rows.candidates.individual, 0) / (people - 1)


def rows_of(best: list[float], second: list[float], total: list[float], fold: int = NO_FOLD) -> CandidateRows:
    """One query's candidates 4, 0, 2, ... with one pair source; nobody stands last."""
    individual = np.array([[4, 0, 2, 5, 1, 3][: len(best)] + [NOBODY]], dtype=np.int32)
    pairs = np.full((1, len(best) + 1, 2, 3), np.nan, dtype=np.float32)
    pairs[0, :-1, 0] = np.array([best, second, total]).T
    similarity = np.zeros((1, len(best) + 1, 2, 3), dtype=np.float32)
    return CandidateRows(
        Candidates(individual, individual, np.ones_like(individual), similarity, pairs),
        np.zeros(1, int),
        np.array([fold]),
    )


def level(*scores: float) -> np.ndarray:
    """asinh(score / 2), written as a logarithm."""
    return np.array([math.log(score / 2 + math.sqrt((score / 2) ** 2 + 1)) for score in scores])


def test_pair_traits_by_hand() -> None:
    nan = math.nan
    rows = rows_of([6.0, 2.0, nan, 0.0], [4.0, nan, nan, 0.0], [10.0, 2.0, nan, 0.0])

    def tenths(rows: CandidateRows) -> np.ndarray:
        return rows.candidates.individual / 10

    told = {t.name: t.of(rows)[0] for t in pair_traits(PairColumn("m", 0, 2.0), tenths)}
    assert list(told) == ["best:m", "lead:m", "behind:m", "second:m", "sum:m", "cohort:m"]
    six, four, two, ten, nothing = level(6, 4, 2, 10, 0)
    # the background is the mean of those but the best, compared ones only; 0 is a score, not compared is none
    assert told["best:m"] == pytest.approx([six - two / 2, two - two / 2, nan, nothing - two / 2, nan], nan_ok=True)
    assert told["lead:m"] == pytest.approx([six - two, two - six, nan, -six, nan], nan_ok=True)
    assert told["behind:m"] == pytest.approx([0, two - six, nan, -six, nan], nan_ok=True)
    assert told["second:m"] == pytest.approx([four - six, nan, nan, 0, nan], nan_ok=True)
    assert told["sum:m"] == pytest.approx([ten - six, 0, nan, 0, nan], nan_ok=True)
    # individuals 4, 0, 2, 5
    assert told["cohort:m"] == pytest.approx([0.4, 0.0, nan, 0.5, nan], nan_ok=True)


def test_the_cohort_is_asked_of_the_very_rows() -> None:
    trait = PairCohort(PairColumn("m", 0, 1.0), lambda rows: np.repeat(rows.fold[:, None], 2, axis=1))
    one, other = (rows_of([1.0], [math.nan], [1.0], fold) for fold in (0, 1))
    both = CandidateRows(one.candidates.joined(other.candidates), np.zeros(2, int), np.array([0, 1]))
    assert trait.of(both)[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(("scores", "usual"), [([0.0, -1.0, math.nan], 1.0), ([], 1.0), ([4.0, 0.0, 1.0, 3.0], 3.0)])
def test_a_usual_score_is_one_above_0(scores: list[float], usual: float) -> None:
    assert usual_score(np.array(scores)) == usual


def test_traits_that_are_refused() -> None:
    with pytest.raises(FinblendError, match=r"kind must be one of best, lead, .*'worst'"):
        PairTrait("worst", PairColumn("m", 0, 1.0))
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(FinblendError, match="scale > 0 must hold for m, but got scale="):
            PairColumn("m", 0, scale)


@examples(40)
@given(seed=st.integers(0, 10_000), sources=st.integers(1, 2))
def test_further_candidates_are_those_of_a_slow_search(seed: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    plain = random_evidence(rng, CHANNELS[int(rng.integers(len(CHANNELS)))], 4)
    evidence = with_random_pairs(rng, plain, sources, compared=0.8)
    pairs, n = evidence.pairs, evidence.n_queries
    assert pairs is not None
    species, weights = random_species(rng, n), random_weights(rng, len(evidence.sources))[None]
    hidden = rng.integers(-1, N_PEOPLE, n)
    args = (weights, np.zeros(n, dtype=int), species, 0.5, 3)
    found = candidates_of(evidence, *args, hidden=hidden)
    first = candidates_of(replace(evidence, pairs=None), *args, hidden=hidden)
    assert found.individual.shape == (n, 3 + FURTHER * sources)
    assert first.pairs.shape == (n, 3, 0, 3)
    for q in range(n):
        groups = range(evidence.group_start[q], evidence.group_start[q + 1])
        who = {
            int(evidence.individual[g]): pairs[evidence.photo_start[g] : evidence.photo_start[g + 1]] for g in groups
        }
        # the blend's best are as without pairs; then each source's, who are not there yet
        chosen = [int(i) for i in first.individual[q] if i != NOBODY]
        for s in range(sources):
            best = {i: np.nanmax(np.append(own[:, 2 * s], -np.inf)) for i, own in who.items()}
            ranked = sorted((-score, i) for i, score in best.items() if score > 0 and i not in {*chosen, hidden[q]})
            chosen += [i for _, i in ranked[:FURTHER]]
        assert found.individual[q].tolist() == (chosen + [NOBODY] * found.individual.shape[1])[: 3 + FURTHER * sources]
        for c, i in enumerate(chosen):
            assert found.seen[q, c] == len(who[i])
            for column, values in enumerate(who[i].T):
                known = -np.sort(-values[~np.isnan(values)])
                expected = [*known[:2], math.nan, math.nan][:2] + [known.sum() if len(known) else math.nan]
                np.testing.assert_array_equal(found.pairs[q, c, column], np.array(expected, dtype=np.float32))
    n_first = (first.individual != NOBODY).sum(axis=1)
    for name in ("individual", "photo", "similarity"):
        for q in range(n):
            mine, without = (getattr(each, name)[q, : n_first[q]] for each in (found, first))
            np.testing.assert_array_equal(mine, without)


def test_candidates_of_two_calls_stand_one_behind_the_other() -> None:
    rng = np.random.default_rng(0)
    evidence = with_random_pairs(rng, random_evidence(rng, CHANNELS[1], 4), 1)
    whole = candidates_of(evidence, np.array([[0.5, 0.5]]), np.zeros(4, dtype=int), random_species(rng, 4))
    again = whole.take(np.array([0, 1])).joined(whole.take(np.array([2, 3])))
    for field in fields(Candidates):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(again, field.name))
