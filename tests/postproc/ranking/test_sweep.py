"""The best threshold: never worse than any threshold of a dense grid, and its score is the score it gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv.metrics import average_precisions
from postproc import NEW, NOBODY, Decision, Ranking, decide, sweep
from postproc.ranking.decision import Sweep

RULES = ("A", "B")


def world(seed: int, width: int, n: int, steps: int) -> tuple[Ranking, np.ndarray, np.ndarray]:
    """Rankings with ties and empty places, truths in and out of them, weights with zeros, summing to 1."""
    rng = np.random.default_rng(seed)
    score = -np.sort(-rng.integers(-steps, steps + 1, (n, width)) / 8, axis=1)
    individual = np.argsort(rng.random((n, 9)), axis=1)[:, :width]
    places = rng.integers(0, width + 1, n)
    empty = np.arange(width) >= np.where(rng.random(n) < 0.5, width, places)[:, None]
    score[empty], individual[empty] = -np.inf, NOBODY
    truth = np.where(rng.random(n) < 0.4, NEW, rng.integers(0, 10, n))
    weights = rng.random(n) * (rng.random(n) < 0.8)
    weights[0] += 0.1
    ranking = Ranking(individual.astype(np.int32), score.astype(np.float32), individual.astype(np.int32))
    return ranking, truth, weights / weights.sum()


def scored(ranking: Ranking, truth: np.ndarray, weights: np.ndarray, decision: Decision) -> float:
    """MAP@5 as it is obtained in the end."""
    return float(average_precisions(decide(ranking, decision), truth) @ weights)


def grid(ranking: Ranking) -> np.ndarray:
    """Thresholds at, just above, between, below and above all scores."""
    values = np.unique(ranking.score[np.isfinite(ranking.score)].astype(float))
    between = (values[1:] + values[:-1]) / 2
    return np.concatenate([values, np.nextafter(values, np.inf), between, np.linspace(-3, 3, 49), [-np.inf, np.inf]])


@given(
    seed=st.integers(0, 1_000_000),
    width=st.integers(5, 7),
    n=st.integers(1, 12),
    steps=st.sampled_from([1, 3, 20]),
    rule=st.sampled_from(RULES),
)
def test_no_threshold_is_better_and_the_score_is_the_one_obtained(
    seed: int, width: int, n: int, steps: int, rule: str
) -> None:
    ranking, truth, weights = world(seed, width, n, steps)
    decision, score = sweep(ranking, truth, weights, rule)
    assert decision.rule == rule
    assert score == pytest.approx(scored(ranking, truth, weights, decision), abs=1e-12)
    best = max(scored(ranking, truth, weights, Decision(rule, t)) for t in grid(ranking))
    assert score >= best - 1e-12


@given(
    seed=st.integers(0, 1_000_000), n=st.integers(1, 12), steps=st.sampled_from([1, 3, 20]), rule=st.sampled_from(RULES)
)
def test_the_curve_is_what_each_threshold_scores(seed: int, n: int, steps: int, rule: str) -> None:
    ranking, truth, weights = world(seed, 5, n, steps)
    hit = (ranking.individual == truth[:, None]) & (ranking.individual != NOBODY)
    place = np.where(truth == NEW, -1, np.where(hit.any(axis=1), hit.argmax(axis=1), 5))
    names = (ranking.individual != NOBODY).sum(axis=1)
    thresholds = grid(ranking)
    found = Sweep(n).curve(rule, ranking.score, names, place, weights, thresholds)
    assert found == pytest.approx([scored(ranking, truth, weights, Decision(rule, t)) for t in thresholds], abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_rankings_of_fewer_than_five_places_are_swept_too(rule: str, width: int) -> None:
    ranking, truth, weights = world(0, width, 12, 3)
    decision, score = sweep(ranking, truth, weights, rule)
    assert score == pytest.approx(scored(ranking, truth, weights, decision), abs=1e-12)
    assert score >= max(scored(ranking, truth, weights, Decision(rule, t)) for t in grid(ranking)) - 1e-12


def pairs(score: list[tuple[float, float]]) -> Ranking:
    """Rankings of individuals 1 and 2."""
    n = len(score)
    individual = np.tile(np.array([1, 2, -1, -1, -1], np.int32), (n, 1))
    full = np.full((n, 5), -np.inf, np.float32)
    full[:, :2] = score
    return Ranking(individual, full, individual.copy())


def test_rule_a_separates_strangers_from_known_in_the_middle_of_the_gap() -> None:
    ranking = pairs([(0.875, 0.25), (0.75, 0.125), (0.5, 0.25), (0.25, 0.125)])
    truth, weights = np.array([1, 1, NEW, NEW]), np.full(4, 0.25)
    decision, score = sweep(ranking, truth, weights, "A")
    assert decision == Decision("A", 0.625)
    assert score == 1.0


def test_rule_b_by_hand() -> None:
    # known at 0.75, a truth in second place at 0.5, a stranger whose best is 0.375:
    # any threshold in (0.375, 0.5] puts all three first or, for the second, behind one other: 1, 1/2, 1
    ranking = pairs([(0.75, 0.125), (0.875, 0.5), (0.375, 0.25)])
    decision, score = sweep(ranking, np.array([1, 2, NEW]), np.array([0.5, 0.25, 0.25]), "B")
    assert decision == Decision("B", 0.4375)
    assert score == pytest.approx(0.5 + 0.25 / 2 + 0.25)


def test_weights_decide_between_two_photos_that_disagree() -> None:
    # the stranger scores more than the known photo: one of the two is second
    ranking, truth = pairs([(0.75, 0.1), (0.5, 0.1)]), np.array([NEW, 1])
    for weights, best_for in (([0.9, 0.1], "stranger"), ([0.1, 0.9], "known")):
        decision, score = sweep(ranking, truth, np.array(weights), "A")
        assert score == pytest.approx(0.9 + 0.1 / 2)
        first = decide(ranking, decision)[:, 0].tolist()
        assert first == ([NEW, NEW] if best_for == "stranger" else [1, 1])


def test_of_several_best_intervals_the_widest_is_taken() -> None:
    # strangers at 0.125 and 0.5, known at 0.25 and 1.0: (0.125, 0.25] and (0.5, 1] are equally good, the second wider
    ranking = pairs([(0.125, 0.0), (0.25, 0.0), (0.5, 0.0), (1.0, 0.0)])
    decision, score = sweep(ranking, np.array([NEW, 1, NEW, 1]), np.full(4, 0.25), "A")
    assert decision == Decision("A", 0.75)
    assert score == pytest.approx(0.875)


@pytest.mark.parametrize("rule", RULES)
def test_when_all_are_strangers_or_all_known_the_threshold_still_gets_its_score(rule: str) -> None:
    ranking = pairs([(0.75, 0.125), (0.5, 0.25)])
    for truth in (np.array([NEW, NEW]), np.array([1, 1])):
        decision, score = sweep(ranking, truth, np.array([0.5, 0.5]), rule)
        assert score == scored(ranking, truth, np.array([0.5, 0.5]), decision) == 1.0


@pytest.mark.parametrize("rule", RULES)
def test_when_no_threshold_changes_anything_the_score_is_that_of_any(rule: str) -> None:
    ranking = pairs([(0.75, 0.125)])
    decision, score = sweep(ranking, np.array([7]), np.ones(1), rule)
    assert np.isfinite(decision.threshold)
    assert score == scored(ranking, np.array([7]), np.ones(1), decision) == 0.0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 1])
def test_scores_one_rounding_apart_are_still_told_apart(rule: str, steps: int) -> None:
    low = np.float32(0.5)
    for _ in range(steps):
        low = np.nextafter(low, np.float32(1))
    ranking = pairs([(low, -1.0), (np.nextafter(low, np.float32(1)), -1.0)])
    decision, best = sweep(ranking, np.array([NEW, 1]), np.array([0.5, 0.5]), rule)
    assert best == scored(ranking, np.array([NEW, 1]), np.array([0.5, 0.5]), decision) == 1.0


@pytest.mark.parametrize("rule", RULES)
def test_scores_in_float64_are_decided_as_they_are_swept(rule: str) -> None:
    # less than a float32 apart: neither tells them apart, so that the score is the one obtained
    close = pairs([(0.0, -1.0), (0.0, -1.0)])
    score = close.score.astype(np.float64)
    score[:, 0] = 0.5, np.nextafter(0.5, 1)
    ranking = Ranking(close.individual, score, close.photo)
    decision, best = sweep(ranking, np.array([NEW, 1]), np.array([0.5, 0.5]), rule)
    assert best == scored(ranking, np.array([NEW, 1]), np.array([0.5, 0.5]), decision) == 0.75
