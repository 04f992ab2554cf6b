"""Who is on a photo, with probabilities; and what every model of them can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cv.errors import FinblendError
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc import NOBODY
from postproc.calibration.posterior import posterior_order


@dataclass(frozen=True)
class Posteriors:
    """Who may be on each photo, and how likely.

    Attributes
    ----------
    individual, photo : (n, places) int arrays
        And the gallery photo most like the query; -1 for nobody.
    probability : (n, places + 2) float array
        Of each, of somebody new, of somebody missed.
    """

    individual: np.ndarray
    photo: np.ndarray
    probability: np.ndarray

    @property
    def somebody_new(self) -> np.ndarray:
        """(n,) probability of somebody new."""
        return np.asarray(self.probability[:, -2])


@dataclass(frozen=True)
class Answers:
    """Five answers a photo by falling probability: label, probability, gallery photo (-1 for somebody new)."""

    labels: np.ndarray
    probability: np.ndarray
    photo: np.ndarray

    @classmethod
    def of(cls, posteriors: Posteriors) -> Answers:
        """The likeliest five."""
        labels, place = posterior_order(posteriors.individual, posteriors.probability)
        nobody = np.full((len(labels), 2), NOBODY, dtype=posteriors.photo.dtype)
        photo = np.take_along_axis(np.concatenate([posteriors.photo, nobody], axis=1), place, axis=1)
        return cls(labels, np.take_along_axis(posteriors.probability, place, axis=1), photo)


class PosteriorModel(Protocol):
    """Gives posteriors, fitted on an evaluation set."""

    def posteriors(self, photos: EvaluationSet | QuerySet) -> Posteriors:
        """Out-of-fold photos each by a fit that never saw their fold, test photos by the fit on all folds."""

    def held_out(self, evaluation_set: EvaluationSet, inside: np.ndarray) -> Posteriors:
        """Rows of another evaluation set, given as a mask, that the whole fit has not seen."""


def refuse_train(query_set: QuerySet) -> None:
    """Refuse out-of-fold photos where test photos are asked for: the fit on all folds has seen their labels."""
    if query_set.tasks[0].split == "train":
        raise FinblendError("train photos are named by an evaluation set: the fit on all folds has seen their labels")
