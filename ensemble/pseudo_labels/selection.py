"""Which first names can be trusted: one number a photo for each rule, and the threshold that keeps a precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of
from ensemble.identification.posteriors import Answers, PosteriorModel, Posteriors
from ensemble.outputs.bands import lowest_keeping
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking

RULES = ("confidence", "agreement", "gap")


@dataclass(frozen=True)
class TopAnswer:
    """First answers of some photos.

    Attributes
    ----------
    label : (n,) int array
        `NEW` for somebody new, -1 for nobody.
    sure, second : (n,) float arrays
        Calibrated probability of the first and of the second answer.
    agree : (n,) int array
        How many models alone rank the first name first.
    models : int
        How many there are.
    """

    label: np.ndarray
    sure: np.ndarray
    second: np.ndarray
    agree: np.ndarray
    models: int

    @classmethod
    def of(cls, posteriors: Posteriors, alone: np.ndarray) -> TopAnswer:
        """From who may be on each photo, and (models, n) whom each model alone ranks first."""
        answers = Answers.of(posteriors)
        label = answers.labels[:, 0]
        agree = (alone == label).sum(axis=0)
        return cls(label, answers.probability[:, 0], answers.probability[:, 1], agree, len(alone))

    def value(self, rule: str) -> np.ndarray:
        """(n,) what the rule's threshold is compared with; -inf for photos that it never trusts.

        Examples
        --------
        >>> first = TopAnswer(np.array([4, 4, -2]), np.array([0.75] * 3), np.array([0.25] * 3), np.array([2, 1, 0]), 2)
        >>> [first.value(rule).tolist() for rule in RULES]
        [[0.75, 0.75, -inf], [0.75, -inf, -inf], [0.5, 0.5, -inf]]
        """
        trusted = self.label >= 0
        if rule == "agreement":
            trusted = trusted & (self.agree == self.models)
        return np.where(trusted, self.sure - self.second if rule == "gap" else self.sure, -np.inf)

    def why(self, row: int) -> str:
        """What a photo's name rests on."""
        sure = f"first {self.sure[row]:.3f}, second {self.second[row]:.3f}"
        return f"{sure}, {self.agree[row]} of {self.models} models agree"


@dataclass(frozen=True)
class SelectionCurve:
    """Out-of-fold photos of an evaluation set with their first answers, each by what was fitted on the other folds.

    Attributes
    ----------
    first : TopAnswer
    right : (n,) bool array
    weights : (n,) float array
    fold : (n,) int array
    """

    first: TopAnswer
    right: np.ndarray
    weights: np.ndarray
    fold: np.ndarray

    def threshold(self, rule: str, precision: float, rows: np.ndarray | None = None) -> float:
        """The rule's lowest threshold that keeps the precision on some of the photos; inf where there is none."""
        value = self.first.value(rule)
        chosen = np.isfinite(value) if rows is None else np.isfinite(value) & rows
        return lowest_keeping(value[chosen], self.right[chosen], self.weights[chosen], precision)

    def expected(self, rule: str, precision: float | None, least: float | None) -> tuple[float, float | None]:
        """Share of photos taken, and share of these that are right; each fold's by the threshold of the others."""
        value = self.first.value(rule)
        taken = np.zeros(len(value), dtype=bool)
        for fold in np.unique(self.fold):
            inside = self.fold == fold
            cut = self.threshold(rule, precision, ~inside) if precision is not None else least
            taken[inside] = value[inside] >= cut
        return share_right(taken, self.right, self.weights)


def share_right(taken: np.ndarray, right: np.ndarray, weights: np.ndarray) -> tuple[float, float | None]:
    """Weighted share of photos taken, and share of these that are right (None where none is taken)."""
    total = float(weights[taken].sum())
    return total / float(weights.sum()), float(weights[taken] @ right[taken]) / total if total > 0 else None


def assess(evaluation_set: EvaluationSet, posterior_model: PosteriorModel, alone: np.ndarray) -> SelectionCurve:
    """Assess the first answers to an evaluation set.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    posterior_model : PosteriorModel
        Fitted on it.
    alone : (models, n + m) int array
        From `first_alone`.
    """
    first = TopAnswer.of(posterior_model.posteriors(evaluation_set), alone)
    return SelectionCurve(first, first.label == evaluation_set.truth, evaluation_set.weights, evaluation_set.fold)


def rankings_alone(query_set: QuerySet, blend: Blend) -> list[Ranking]:
    """What each model that has weight ranks by itself."""
    weightings = [{other: float(other == name) for other in blend.weights} for name in blend.used]
    return [ranking_of(query_set, replace(blend, weights=weights, species_weights={})) for weights in weightings]


def first_alone(photos: EvaluationSet | QuerySet, rankings: list[Ranking]) -> np.ndarray:
    """(models, n) whom each model alone ranks first, of each row or query."""
    return np.stack([photos.lists(ranking, 0.0).individual[:, 0] for ranking in rankings])
