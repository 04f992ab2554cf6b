"""The decision: where `new_individual` stands in the list, and the exact best threshold for it.

Rule A puts it first when the best score is below the threshold, else second. Rule B treats it as one more individual
with the threshold as its score. Both are in use among the top teams of Happywhale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from cv.metrics import MAX_NAMES, average_precisions
from postproc.knn import NOBODY
from postproc.rank import Ranking

NEW = -2
RULES = ("A", "B")


@dataclass(frozen=True)
class Decision:
    """How to place `new_individual`.

    Attributes
    ----------
    rule : {"A", "B"}
    threshold : float
        In the blend's scores; -inf and inf mean "never below" and "always below".
    """

    rule: str
    threshold: float

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise FinblendError(f"rule must be A or B, but got rule={self.rule!r}")
        if np.isnan(self.threshold):
            raise FinblendError("threshold must be a number, but got threshold=nan")


def decide(ranking: Ranking, decision: Decision) -> np.ndarray:
    """Put `NEW` into each list.

    Parameters
    ----------
    ranking : Ranking
        Of five places, or fewer.
    decision : Decision

    Returns
    -------
    (n, 5) int32 array
        Labels, best first; `NEW` (-2) for somebody new, -1 where the list is shorter.

    Examples
    --------
    >>> names, photos = np.array([[7, 3, -1, -1, -1]]), np.array([[0, 1, -1, -1, -1]])
    >>> ranking = Ranking(names, np.array([[0.6, 0.4, -np.inf, -np.inf, -np.inf]]), photos)
    >>> decide(ranking, Decision("A", 0.5)), decide(ranking, Decision("B", 0.3))
    (array([[ 7, -2,  3, -1, -1]], dtype=int32), array([[ 7,  3, -2, -1, -1]], dtype=int32))
    """
    ranking = ranking.first(MAX_NAMES)
    # in float64, or numpy would round the threshold to the scores' float32
    score = ranking.score.astype(np.float64)
    if decision.rule == "A":
        place = np.where(score[:, 0] < decision.threshold, 0, 1)
    else:
        place = (score >= decision.threshold).sum(axis=1)
    # nobody stands behind an empty place: without candidates, somebody new comes first
    place = np.minimum(place, (ranking.individual != NOBODY).sum(axis=1))
    out = np.full((len(place), MAX_NAMES + 1), NOBODY, dtype=np.int32)
    columns = np.arange(ranking.individual.shape[1])
    target = columns + (columns >= place[:, None])
    np.put_along_axis(out, target, ranking.individual.astype(np.int32), axis=1)
    rows = np.arange(len(place))
    out[rows, place] = NEW
    return out[:, :MAX_NAMES]


def sweep(ranking: Ranking, truth: np.ndarray, weights: np.ndarray, rule: str) -> tuple[Decision, float]:
    """Find the threshold with the highest MAP@5, exactly, by one sort.

    With the scores fixed, MAP@5 is piecewise constant in the threshold: it changes only where the threshold passes a
    score that moves `NEW` past the truth, or past somebody when `NEW` is the truth.

    Parameters
    ----------
    ranking : Ranking
    truth : (n,) int array
        The right label; `NEW` for strangers.
    weights : (n,) float array >= 0, summing to 1
    rule : {"A", "B"}

    Returns
    -------
    decision : Decision
        The middle of the best interval (of the widest one, if several are equally good).
    map5 : float
        Its score on these very photos.
    """
    ranking = ranking.first(MAX_NAMES)
    start = average_precisions(decide(ranking, Decision(rule, -np.inf)), truth)
    value, change = _events(ranking, truth, weights, rule)
    if not len(value):
        return Decision(rule, 0.0), float(start @ weights)
    order = np.argsort(value, kind="stable")
    value, change = value[order], change[order]
    # a threshold t is past the events with value < t, so MAP@5 is constant on each (lower, upper]
    edges, first = np.unique(value, return_index=True)
    total = float(start @ weights) + np.append(0.0, np.cumsum(change)[np.append(first[1:], len(value)) - 1])
    lower, upper = np.append(-np.inf, edges), np.append(edges, np.inf)
    good = np.flatnonzero(total >= total.max() - 1e-12)
    inner = np.isfinite(lower[good]) & np.isfinite(upper[good])
    chosen = int(good[int(np.where(inner, upper[good] - lower[good], -1.0).argmax())])
    return Decision(rule, _between(float(lower[chosen]), float(upper[chosen]))), float(total[chosen])


def _between(low: float, high: float) -> float:
    """A threshold in (low, high]: the middle, or just past the end that is finite."""
    if np.isinf(low):
        return high
    if np.isinf(high):
        return float(np.nextafter(low, np.inf))
    middle = low + (high - low) / 2
    return middle if low < middle <= high else high


def _events(ranking: Ranking, truth: np.ndarray, weights: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores at which some photo's precision changes when the threshold passes them, and the weighted change."""
    new = truth == NEW
    there = ranking.individual != NOBODY
    hit = (ranking.individual == truth[:, None]) & there
    reciprocal = np.append(1.0 / np.arange(1, MAX_NAMES + 1), 0.0)
    step = reciprocal[:-1] - reciprocal[1:]
    if rule == "A":
        # only the first place changes hands: NEW and the best name swap places 1 and 2
        gain = np.zeros(ranking.score.shape)
        gain[:, 0] = 0.5 * (new & there[:, 0]) - 0.5 * hit[:, 0]
    else:
        # NEW moves up one place past each name whose score it passes, and that name moves down one
        step = step[: ranking.score.shape[1]]
        gain = np.where(new[:, None], np.where(there, step, 0.0), np.where(hit, -step, 0.0))
    changes = gain != 0.0
    return ranking.score[changes].astype(np.float64), (gain * weights[:, None])[changes]
