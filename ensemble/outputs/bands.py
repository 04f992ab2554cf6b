"""Bands of answers: how sure is sure enough, measured cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from ensemble.identification.posteriors import Answers, Posteriors
from ensemble.protocol.evaluation_set import EvaluationSet
from postproc import NEW, NOBODY

PRECISION = 0.99


BANDS = ("auto", "review", "new")


@dataclass(frozen=True)
class Bands:
    """From which probability of the first answer on people need not look.

    Attributes
    ----------
    auto : float
        Of a name; inf where no probability keeps the wanted precision.
    new : float
        Of somebody new.
    """

    auto: float
    new: float

    def of(self, labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """(n,) index into `BANDS`, from first answers and their probability."""
        is_new = labels == NEW
        sure = probability >= np.where(is_new, self.new, self.auto)
        return np.asarray(np.where(sure & (labels != NOBODY), np.where(is_new, 2, 0), 1))


@dataclass(frozen=True)
class CrossFittedAnswers:
    """What the evaluation set's photos were answered, each by what was fitted on the other folds.

    Attributes
    ----------
    answers : Answers
    right : (n,) bool array
        Whether the first answer is.
    weights : (n,) float array
    fold : (n,) int array
    """

    answers: Answers
    right: np.ndarray
    weights: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, evaluation_set: EvaluationSet, posteriors: Posteriors) -> CrossFittedAnswers:
        """From posteriors out-of-fold."""
        answers = Answers.of(posteriors)
        right = answers.labels[:, 0] == evaluation_set.truth
        return cls(answers, right, evaluation_set.weights, evaluation_set.fold)

    def bands(self, precision: float, rows: np.ndarray | None = None) -> Bands:
        """Bands that keep the precision on some of the photos; on all by default."""
        rows = np.ones(len(self.fold), dtype=bool) if rows is None else rows
        first, sure = self.answers.labels[rows, 0], self.answers.probability[rows, 0]
        return bands_for(first, sure, self.right[rows], self.weights[rows], precision)

    def band(self, precision: float) -> np.ndarray:
        """(n,) index into `BANDS` of each photo, by thresholds that were chosen on the other folds."""
        band = np.empty(len(self.fold), dtype=np.int64)
        for fold in np.unique(self.fold):
            inside = self.fold == fold
            band[inside] = band_of(self.answers, self.bands(precision, ~inside))[inside]
        return band

    def expected(self, precision: float) -> dict[str, tuple[float, float | None]]:
        """Per band its share of the mix, and the share of right first answers (None where empty)."""
        band, expected = self.band(precision), dict[str, tuple[float, float | None]]()
        for n, name in enumerate(BANDS):
            weight = float(self.weights[band == n].sum())
            right = float(self.weights[band == n] @ self.right[band == n]) / weight if weight > 0 else None
            expected[name] = (weight / float(self.weights.sum()), right)
        return expected


def check_precision(precision: float) -> None:
    """Refuse a wanted precision outside (0, 1)."""
    if not 0 < precision < 1:
        raise FinblendError(f"--precision: 0 < precision < 1 must hold, but got precision={precision}")


def bands_for(
    first: np.ndarray, probability: np.ndarray, right: np.ndarray, weights: np.ndarray, precision: float
) -> Bands:
    """The lowest probabilities from which on first answers are right often enough.

    A band of fewer photos than 1 / (1 - precision) cannot show that precision, however many are right: then there is
    none. Weighted photos count as by Kish 1965, (sum w)^2 / sum w^2.

    Parameters
    ----------
    first : (n,) int array
        Label of the first answer, `NEW` for somebody new.
    probability : (n,) float array
        Its probability.
    right : (n,) bool array
    weights : (n,) float array >= 0
    precision : float

    Examples
    --------
    >>> names, sure = np.array([4, 4, 4]), np.array([0.9, 0.8, 0.7])
    >>> bands_for(names, sure, np.array([True, True, False]), np.ones(3), 0.5)
    Bands(auto=0.7, new=inf)
    >>> bands_for(names, sure, np.array([True, True, True]), np.ones(3), 0.99)
    Bands(auto=inf, new=inf)
    """
    kinds = (first >= 0, first == NEW)
    return Bands(*(lowest_keeping(probability[kind], right[kind], weights[kind], precision) for kind in kinds))


def lowest_keeping(probability: np.ndarray, right: np.ndarray, weights: np.ndarray, precision: float) -> float:
    """The lowest value from which on photos are right often enough, as of `bands_for`; inf where there is none."""
    threshold, total, good, squares = kept_from(probability, right, weights)
    can_show = total**2 * (1 - precision) >= squares * (1 - 1e-12)
    kept = (total > 0) & can_show & (good >= precision * total * (1 - 1e-12))
    return float(threshold[np.flatnonzero(kept)[-1]]) if kept.any() else float("inf")


def kept_from(
    probability: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What is kept from each probability on, falling; equal probabilities are in or out together.

    Returns
    -------
    threshold : (k,) float array
    total, good, squares : (k,) float arrays
        Weight of what is kept, of what of it is right, and the sum of squared weights.

    Examples
    --------
    >>> kept_from(np.array([0.9, 0.5, 0.9]), np.array([True, True, False]), np.ones(3))[:3]
    (array([0.9, 0.5]), array([2., 3.]), array([1., 2.]))
    """
    order = np.argsort(-probability, kind="stable")
    sure = probability[order]
    last = np.append(sure[1:] != sure[:-1], True)[: len(sure)]
    sums = (np.cumsum(column[order])[last] for column in (weights, weights * right, weights**2))
    total, good, squares = sums
    return sure[last], total, good, squares


def first_name(posteriors: Posteriors, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) probability of the likeliest name, and whether it is right."""
    best = posteriors.probability[:, :-2].argmax(axis=1)[:, None]
    label = np.take_along_axis(posteriors.individual, best, axis=1)[:, 0]
    probability = np.take_along_axis(posteriors.probability, best, axis=1)[:, 0]
    return probability, (label == truth) & (label != NOBODY)


def band_of(answers: Answers, bands: Bands) -> np.ndarray:
    """(n,) index into `BANDS`."""
    return bands.of(answers.labels[:, 0], answers.probability[:, 0])
