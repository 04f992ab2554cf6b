"""The decision: where `new_individual` stands in the list, and the exact best threshold for it.

Rule A puts it first when the best score is below the threshold, else second. Rule B treats it as one more individual
with the threshold as its score. Both are in use among the top teams of Happywhale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from cv.metrics import MAX_NAMES
from postproc.neighbours.search import NOBODY
from postproc.ranking.ranking import Ranking
from postproc.ranking.scorer_kernels import NO_HIT, STRANGER, best_interval, collect_events, scores_of

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
    # float32, as `sweep` and the compiled trials see scores; then float64, or numpy would round the threshold, too
    score = ranking.score.astype(np.float32).astype(np.float64)
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


def cut_for_share(values: np.ndarray, share: float) -> float:
    """A number that a share of the values is below, as nearly as equal values allow.

    Parameters
    ----------
    values : (n,) float array
    share : float
        In [0, 1].

    Examples
    --------
    >>> cut_for_share(np.array([0.1, 0.2, 0.4, 0.8]), 0.5)
    0.30000000000000004
    >>> cut_for_share(np.array([0.1, 0.2, 0.4, 0.8]), 1.0)
    inf
    """
    edges = np.unique(values.astype(np.float64))
    if not len(edges):
        return 0.0
    below = np.append(np.searchsorted(np.sort(values), edges), len(values))
    at = int(np.abs(below - share * len(values)).argmin())
    if at in (0, len(edges)):
        return -np.inf if at == 0 else np.inf
    low, high = edges[at - 1], edges[at]
    # two infinities have no middle, nor has a number beside one
    middle = (low + high) / 2
    return float(middle if np.isfinite(middle) else high)


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
    best = ranking.first(MAX_NAMES)
    score = np.full((len(truth), MAX_NAMES), -np.inf, dtype=np.float32)
    score[:, : best.score.shape[1]] = best.score
    hit = (best.individual == truth[:, None]) & (best.individual != NOBODY)
    place = np.where(truth == NEW, STRANGER, np.where(hit.any(axis=1), hit.argmax(axis=1), NO_HIT))
    names = (best.individual != NOBODY).sum(axis=1)
    return Sweep(len(truth)).solve(rule, score, names, place, weights)


class Sweep:
    """The exact threshold again and again for as many photos, in the same arrays.

    Parameters
    ----------
    n : int
    """

    def __init__(self, n: int) -> None:
        self._keys = np.empty(n * MAX_NAMES, dtype=np.uint64)
        self._gains = np.empty(n * MAX_NAMES)

    def solve(
        self, rule: str, score: np.ndarray, names: np.ndarray, place: np.ndarray, weights: np.ndarray
    ) -> tuple[Decision, float]:
        """Find the best threshold of one rule.

        Parameters
        ----------
        rule : {"A", "B"}
        score : (n, 5) float32 array
            Best first; -inf where there is nobody.
        names : (n,) int array
            How many names each list has.
        place : (n,) int array
            Place of the right name from 0, 5 where it is missing, -1 for strangers.
        weights : (n,) float array

        Returns
        -------
        decision : Decision
        map5 : float
        """
        n, start = collect_events(RULES.index(rule), score, names, place, weights, self._keys, self._gains)
        if not n:
            return Decision(rule, 0.0), start
        keys = self._keys[:n]
        keys.sort()
        low, high, reached = best_interval(keys, self._gains, start)
        return Decision(rule, _between(low, high)), reached

    def curve(
        self,
        rule: str,
        score: np.ndarray,
        names: np.ndarray,
        place: np.ndarray,
        weights: np.ndarray,
        thresholds: np.ndarray,
    ) -> np.ndarray:
        """MAP@5 of one rule at each of many thresholds, by the same sort; parameters as of `solve`."""
        n, start = collect_events(RULES.index(rule), score, names, place, weights, self._keys, self._gains)
        keys = self._keys[:n]
        keys.sort()
        passed = np.append(start, start + np.cumsum(self._gains[(keys & np.uint64(0xFFFFFFFF)).astype(np.int64)]))
        # a threshold has passed the scores below it
        return np.asarray(passed[np.searchsorted(scores_of(keys), thresholds, side="left")])


def _between(low: float, high: float) -> float:
    """A threshold in (low, high]: the middle, or just past the end that is finite."""
    if np.isinf(low):
        return high
    if np.isinf(high):
        return float(np.nextafter(low, np.inf))
    middle = low + (high - low) / 2
    return middle if low < middle <= high else high
