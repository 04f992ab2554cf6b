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
        How many sources alone rank the first name first.
    sources : int
        How many there are.
    """

    label: np.ndarray
    sure: np.ndarray
    second: np.ndarray
    agree: np.ndarray
    models: int

    @classmethod
    def of(cls, named: Posteriors, alone: np.ndarray) -> TopAnswer:
        """From who may be on each photo, and (sources, n) whom each source alone ranks first."""
        answers = Answers.of(named)
        label = answers.labels[:, 0]
        agree = (alone == label).sum(axis=0)
        return cls(label, answers.probability[:, 0], answers.probability[:, 1], agree, len(alone))

    def value(self, rule: str) -> np.ndarray:
        """(n,) what the rule's threshold is compared with; -inf for photos that it never trusts.

        Examples
        --------
        >>> first = First(np.array([4, 4, -2]), np.array([0.75] * 3), np.array([0.25] * 3), np.array([2, 1, 0]), 2)
        >>> [first.value(rule).tolist() for rule in RULES]
        [[0.75, 0.75, -inf], [0.75, -inf, -inf], [0.5, 0.5, -inf]]
        """
        trusted = self.label >= 0
        if rule == "agreement":
            trusted = trusted & (self.agree == self.models)
        return np.where(trusted, self.sure - self.second if rule == "gap" else self.sure, -np.inf)

    def why(self, row: int) -> str:
        """What a photo's name rests on."""
        told = f"first {self.sure[row]:.3f}, second {self.second[row]:.3f}"
        return f"{told}, {self.agree[row]} of {self.models} models agree"


@dataclass(frozen=True)
class SelectionCurve:
    """Out-of-fold photos of an evaluation set with their first answers, each by what was fitted on the other folds.

    Attributes
    ----------
    first : First
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
        own = np.isfinite(value) if rows is None else np.isfinite(value) & rows
        return lowest_keeping(value[own], self.right[own], self.weights[own], precision)

    def expected(self, rule: str, precision: float | None, least: float | None) -> tuple[float, float | None]:
        """Share of photos taken, and share of these that are right; each fold's by the threshold of the others."""
        value = self.first.value(rule)
        taken = np.zeros(len(value), dtype=bool)
        for one in np.unique(self.fold):
            here = self.fold == one
            cut = self.threshold(rule, precision, ~here) if precision is not None else least
            taken[here] = value[here] >= cut
        return share_right(taken, self.right, self.weights)


def share_right(taken: np.ndarray, right: np.ndarray, weights: np.ndarray) -> tuple[float, float | None]:
    """Weighted share of photos taken, and share of these that are right (None where none is taken)."""
    total = float(weights[taken].sum())
    return total / float(weights.sum()), float(weights[taken] @ right[taken]) / total if total > 0 else None


def judge(
    evaluation_set: EvaluationSet, posterior_model: PosteriorModel, alone: np.ndarray, folds: np.ndarray
) -> SelectionCurve:
    """Judge an evaluation set's photos.

    Parameters
    ----------
    evaluation set : EvaluationSet
    namer : PosteriorModel
        Of the evaluation set.
    alone : (sources, n + m) int array
        From `alone_in_exam`.
    folds : (n,) int array
        Fold of every question.
    """
    first = TopAnswer.of(posterior_model.out_of_fold(), alone)
    return SelectionCurve(
        first,
        first.label == evaluation_set.truth,
        evaluation_set.weights,
        folds[np.append(evaluation_set.rows, evaluation_set.hidden)],
    )


def alone(query_set: QuerySet, blend: Blend) -> list[Ranking]:
    """What each source that has weight ranks by itself."""
    return [ranking_of(query_set, replace(blend, weights={name: 1.0}, species_weights={})) for name in blend.used]


def alone_in_exam(evaluation_set: EvaluationSet, rankings: list[Ranking]) -> np.ndarray:
    """(sources, n + m) whom each source alone ranks first, as the photos sit."""
    return np.stack([evaluation_set.ranking(ranking, 0.0).individual[:, 0] for ranking in rankings])
