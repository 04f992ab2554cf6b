"""Where `new_individual` stands in the list: rules A and B by hand, and against a list with an insertion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError
from postproc import NEW, NOBODY, Decision, Ranking, decide

SIX = [0.9, 0.7, 0.5, 0.3, 0.2, 0.1]
INF = np.inf


def ranking_of(scores: list[float], width: int) -> Ranking:
    """One query; individuals 10, 11, 12 ..., and empty places behind them."""
    empty = width - len(scores)
    individual = np.array([[*range(10, 10 + len(scores)), *[NOBODY] * empty]], dtype=np.int32)
    score = np.array([[*scores, *[-INF] * empty]], dtype=np.float32)
    return Ranking(individual, score, individual.copy())


@pytest.mark.parametrize(
    ("rule", "threshold", "scores", "answer"),
    [
        # rule A: first below the threshold, else second
        ("A", 0.95, SIX, [NEW, 10, 11, 12, 13]),
        ("A", 0.8, SIX, [10, NEW, 11, 12, 13]),
        ("A", -INF, SIX, [10, NEW, 11, 12, 13]),
        ("A", INF, SIX, [NEW, 10, 11, 12, 13]),
        ("A", 0.8, [0.9], [10, NEW, NOBODY, NOBODY, NOBODY]),
        ("A", 0.95, [0.9], [NEW, 10, NOBODY, NOBODY, NOBODY]),
        # rule B: one more individual, with the threshold as its score
        ("B", 0.95, SIX, [NEW, 10, 11, 12, 13]),
        ("B", 0.6, SIX, [10, 11, NEW, 12, 13]),
        ("B", 0.25, SIX, [10, 11, 12, 13, NEW]),
        ("B", 0.15, SIX, [10, 11, 12, 13, 14]),
        ("B", -INF, SIX, [10, 11, 12, 13, 14]),
        ("B", INF, SIX, [NEW, 10, 11, 12, 13]),
        ("B", 0.15, [0.9, 0.7], [10, 11, NEW, NOBODY, NOBODY]),
        ("B", -INF, [0.9, 0.7], [10, 11, NEW, NOBODY, NOBODY]),
        # whoever scores exactly the threshold stays before somebody new
        ("A", 0.5, [0.5, 0.25], [10, NEW, 11, NOBODY, NOBODY]),
        ("B", 0.5, [0.5, 0.5, 0.25], [10, 11, NEW, 12, NOBODY]),
        # nobody stands behind an empty place
        ("A", -INF, [], [NEW, NOBODY, NOBODY, NOBODY, NOBODY]),
        ("B", -INF, [], [NEW, NOBODY, NOBODY, NOBODY, NOBODY]),
    ],
)
@pytest.mark.parametrize("width", [3, 5, 7])
def test_lists_equal_those_worked_by_hand(
    rule: str, threshold: float, scores: list[float], answer: list[int], width: int
) -> None:
    got = decide(ranking_of(scores, max(width, len(scores))), Decision(rule, threshold))
    assert got.dtype == np.int32
    assert got.tolist() == [answer]


@given(
    scores=st.lists(st.integers(-4, 4), max_size=7).map(lambda s: sorted(s, reverse=True)),
    threshold=st.one_of(st.integers(-5, 5), st.just(0.5), st.sampled_from([INF, -INF])),
    rule=st.sampled_from(["A", "B"]),
)
def test_a_decision_inserts_somebody_new_into_the_list(scores: list[int], threshold: float, rule: str) -> None:
    got = decide(ranking_of([float(s) for s in scores], 7), Decision(rule, float(threshold)))
    expected = list(range(10, 10 + len(scores)))
    if rule == "A":
        place = 1 if scores and scores[0] >= threshold else 0
    else:
        place = sum(1 for s in scores if s >= threshold)
    expected.insert(place, NEW)
    assert got.tolist() == [(expected + [NOBODY] * 5)[:5]]


def test_every_row_is_decided_by_its_own_scores() -> None:
    rows = [ranking_of(scores, 5) for scores in ([0.9, 0.1], [0.4, 0.3], [])]
    ranking = Ranking(*(np.concatenate([getattr(r, name) for r in rows]) for name in ("individual", "score", "photo")))
    assert decide(ranking, Decision("A", 0.5)).tolist() == [
        [10, NEW, 11, NOBODY, NOBODY],
        [NEW, 10, 11, NOBODY, NOBODY],
        [NEW, NOBODY, NOBODY, NOBODY, NOBODY],
    ]


def test_thresholds_are_compared_in_float64() -> None:
    # float32(0.1) is a little more than 0.1: rounding the threshold to float32 would make them equal or swap them
    score = np.array([[0.1]], dtype=np.float32)
    ranking = Ranking(np.array([[4]], np.int32), score, np.array([[0]], np.int32))
    exact = float(score[0, 0])
    assert decide(ranking, Decision("A", exact)).tolist()[0][0] == 4
    assert decide(ranking, Decision("A", float(np.nextafter(exact, 1)))).tolist()[0][0] == NEW


@pytest.mark.parametrize("rule", ["C", "a", ""])
def test_an_unknown_rule_is_refused(rule: str) -> None:
    with pytest.raises(FinblendError, match=f"rule must be A or B, but got rule='{rule}'"):
        Decision(rule, 0.5)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(FinblendError, match="threshold must be a number, but got threshold=nan"):
        Decision("A", float("nan"))
