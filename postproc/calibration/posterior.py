"""A posterior over who is on a photo: each of the five best names, somebody new, somebody known who was missed.

Scores rank names; they are no probabilities, and pairwise P(same) of several names do not sum to 1. The conditional
logit (McFadden 1974, "Conditional logit analysis of qualitative choice behavior") over the seven outcomes does, and
fitted to photos weighted to the stated mix it carries the expected share of strangers as its prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from cv.metrics import MAX_NAMES
from postproc.neighbours.search import NOBODY
from postproc.ranking.decision import NEW, cut_for_share
from postproc.ranking.ranking import Ranking

# outcomes after the places 0 to 4
SOMEBODY_NEW, MISSED = MAX_NAMES, MAX_NAMES + 1
OUTCOMES = MAX_NAMES + 2
_FEATURES = 5
_RIDGE = 1e-6
_STEPS = 100


@dataclass(frozen=True)
class Posterior:
    """A fitted conditional logit.

    A name's utility is `coefficients[0] * score / scale + coefficients[1] * (best score - score) / scale`, plus
    `coefficients[2]` for the best name; somebody new and somebody missed have the constants `coefficients[3]` and
    `[4]`.

    Attributes
    ----------
    coefficients : tuple of 5 float
    scale : float
        Spread of the best scores it was fitted on, > 0.
    """

    coefficients: tuple[float, ...]
    scale: float

    def __post_init__(self) -> None:
        if len(self.coefficients) != _FEATURES or not np.isfinite(self.coefficients).all():
            raise FinblendError(f"{_FEATURES} finite coefficients must hold, but got {self.coefficients}")
        if not 0 < self.scale < np.inf:
            raise FinblendError(f"scale > 0 must hold, but got scale={self.scale}")

    def of(self, ranking: Ranking) -> np.ndarray:
        """Probability of every outcome.

        Parameters
        ----------
        ranking : Ranking
            Five names against their background.

        Returns
        -------
        (n, 7) float64 array
            The names in the order of the ranking (0 where there is none), somebody new, somebody known who is not
            among the names; rows sum to 1.
        """
        return _shares(_features(ranking, self.scale) @ np.array(self.coefficients), _absent(ranking))


def outcome(individual: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which outcome came true.

    Parameters
    ----------
    individual : (n, k) int array
        The names; -1 where there is none.
    truth : (n,) int array
        `NEW` for strangers.

    Returns
    -------
    (n,) int64 array
        The place of the right name, k for somebody new, k + 1 for somebody known who is not among the names.

    Examples
    --------
    >>> outcome(np.array([[7, 3, 5, 1, 2]] * 3), np.array([3, NEW, 8]))
    array([1, 5, 6])
    """
    hit = (individual == truth[:, None]) & (individual != NOBODY)
    k = individual.shape[1]
    return np.asarray(np.where(truth == NEW, k, np.where(hit.any(axis=1), hit.argmax(axis=1), k + 1)))


def fit_posterior(ranking: Ranking, truth: np.ndarray, weights: np.ndarray) -> Posterior:
    """Fit by weighted maximum likelihood (Newton's method; a ridge of 1e-6 keeps separable data finite).

    Parameters
    ----------
    ranking : Ranking
        Five names against their background.
    truth : (n,) int array
        `NEW` for strangers.
    weights : (n,) float array >= 0
        Weighted to the mix that is expected; their sum does not matter.

    Raises
    ------
    FinblendError
        If no photo has weight.
    """
    weighted = weights > 0
    if not weighted.any():
        raise FinblendError("no photo has weight: there is nothing to fit probabilities on")
    lists = Ranking(ranking.individual[weighted], ranking.score[weighted], ranking.photo[weighted])
    share = weights[weighted] / weights[weighted].sum()
    best = lists.score[:, 0].astype(np.float64)
    is_named = np.isfinite(best)
    spread = float(np.std(best[is_named])) if is_named.any() else 0.0
    scale = spread if spread > 0 else 1.0
    x, absent = _features(lists, scale), _absent(lists)
    right = np.take_along_axis(x, outcome(lists.individual, truth[weighted])[:, None, None], axis=1)[:, 0]

    def likelihood(c: np.ndarray) -> float:
        utility = np.where(absent, -np.inf, x @ c)
        top = utility.max(axis=1)
        return float(share @ (right @ c - top - np.log(np.exp(utility - top[:, None]).sum(axis=1))) - _RIDGE * (c @ c))

    c = np.zeros(_FEATURES)
    reached = likelihood(c)
    for _ in range(_STEPS):
        p = _shares(x @ c, absent)
        mean = np.einsum("no,nof->nf", p, x)
        gradient = share @ (right - mean) - 2 * _RIDGE * c
        second = np.einsum("n,no,nof,nog->fg", share, p, x, x, optimize=True) - (share[:, None] * mean).T @ mean
        step = np.linalg.solve(second + 2 * _RIDGE * np.eye(_FEATURES), gradient)
        while (likelier := likelihood(c + step)) < reached and np.abs(step).max() > 1e-12:
            step = step / 2
        if likelier - reached < 1e-12:
            break
        c, reached = c + step, likelier
    return Posterior(tuple(c.tolist()), scale)


def posterior_order(individual: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The list that maximises the expected MAP@5: outcomes by falling probability.

    The precision of a list is 1 / (place of the right answer), so its expectation is sum of p_k / k, and by the
    rearrangement inequality no order of the same outcomes exceeds the falling one. Who is missed has no name.

    Parameters
    ----------
    individual : (n, k) int array
        The names; -1 where there is none.
    probability : (n, k + 2) float array
        From `Posterior.of` or `ConditionalLogit.of`.

    Returns
    -------
    labels : (n, 5) int32 array
        `NEW` for somebody new, -1 where the list is shorter.
    place : (n, 5) int64 array
        Which outcome stands there; k + 1 (missed) where the list is shorter.
    """
    named = np.concatenate([individual, np.full((len(individual), 1), NEW, dtype=np.int32)], axis=1)
    # names that are not there come last, behind those of probability 0
    value = np.where(named == NOBODY, -1.0, probability[:, :-1])
    place = np.argsort(-value, axis=1, kind="stable")[:, :MAX_NAMES]
    labels = np.take_along_axis(named, place, axis=1).astype(np.int32)
    return labels, np.where(labels == NOBODY, individual.shape[1] + 1, place)


def with_new_first(probability: np.ndarray, share: float) -> np.ndarray:
    """Probabilities whose odds of somebody new are moved by one factor, so that it is the likeliest in a share of rows.

    Parameters
    ----------
    probability : (n, k + 2) float array
        From `Posterior.of` or `ConditionalLogit.of`.
    share : float
        Of rows in which somebody new is likelier than every name, in [0, 1]; as nearly as equal odds allow.

    Returns
    -------
    (n, k + 2) float64 array
        Rows sum to 1. Names keep their order, and what has no probability keeps none.

    Examples
    --------
    >>> with_new_first(np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]]), 0.5).round(2)
    array([[0.62, 0.31, 0.08],
           [0.32, 0.63, 0.05]])
    """
    tiny = np.finfo(np.float64).tiny
    lead = np.log(np.maximum(probability[:, :-2].max(axis=1), tiny)) - np.log(np.maximum(probability[:, -2], tiny))
    # no further than passing every row takes, or names would vanish behind somebody new
    cut = np.clip(cut_for_share(lead, share), lead.min() - 1.0, lead.max() + 1.0) if len(lead) else 0.0
    utility = np.log(np.maximum(probability, tiny))
    utility[:, -2] += cut
    is_new = np.arange(probability.shape[1]) == probability.shape[1] - 2
    return _shares(utility, (probability <= 0) & ~is_new)


def _absent(ranking: Ranking) -> np.ndarray:
    """(n, 7) bool: outcomes that cannot be, for the list is shorter."""
    nobody = (ranking.individual == NOBODY) | ~np.isfinite(ranking.score)
    return np.concatenate([nobody, np.zeros((len(nobody), 2), dtype=bool)], axis=1)


def _features(ranking: Ranking, scale: float) -> np.ndarray:
    x = np.zeros((len(ranking.score), OUTCOMES, _FEATURES))
    score = np.where(np.isfinite(ranking.score), ranking.score, 0.0) / scale
    x[:, :MAX_NAMES, 0] = score
    x[:, :MAX_NAMES, 1] = np.where(np.isfinite(ranking.score), score[:, :1] - score, 0.0)
    x[:, 0, 2] = 1.0
    x[:, SOMEBODY_NEW, 3] = 1.0
    x[:, MISSED, 4] = 1.0
    return x


def _shares(utility: np.ndarray, absent: np.ndarray) -> np.ndarray:
    utility = np.where(absent, -np.inf, utility)
    odds = np.exp(utility - utility.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
