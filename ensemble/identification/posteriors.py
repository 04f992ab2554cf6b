"""Who is on a photo, with probabilities: by the second stage, or by a posterior over the blend's five best names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc import NOBODY, Ranking
from postproc.calibration.posterior import OUTCOMES, Posterior, fit_posterior, posterior_order
from postproc.ranking.ranking import DEPTH


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
    def of(cls, named: Posteriors) -> Answers:
        """The likeliest five."""
        labels, place = posterior_order(named.individual, named.probability)
        nobody = np.full((len(labels), 2), NOBODY, dtype=named.photo.dtype)
        photo = np.take_along_axis(np.concatenate([named.photo, nobody], axis=1), place, axis=1)
        return cls(labels, np.take_along_axis(named.probability, place, axis=1), photo)


class PosteriorModel(Protocol):
    """Names photos by what an evaluation set's photos tell."""

    def out_of_fold(self) -> Posteriors:
        """The evaluation set's photos, each by what was fitted on the other folds."""

    def of_exam(self, evaluation_set: EvaluationSet, here: np.ndarray) -> Posteriors:
        """Some photos, given as a mask, of another evaluation set of the same queries, by what was fitted on this one."""

    def of_test(self, query_set: QuerySet, progress: Progress | None = None) -> Posteriors:
        """Test photos, by what was fitted on the whole evaluation set."""


def posterior_model_of(
    evaluation_set: EvaluationSet,
    blend: Blend,
    progress: Progress | None = None,
    ranking: Ranking | None = None,
    stage: SecondStage | None = None,
) -> PosteriorModel:
    """The second stage where the blend has one, otherwise a posterior.

    Parameters
    ----------
    evaluation set : EvaluationSet
    blend : Blend
    progress : callable, optional
    ranking : Ranking, optional
        From `rescored_all`, if that is known already; a second stage has no use for it.
    stage : SecondStage, optional
        The blend's own on this evaluation set, if it is there already.
    """
    if blend.second_stage:
        return SecondStagePosterior(SecondStage(evaluation_set, blend, keep=True) if stage is None else stage)
    return RankPosterior(
        evaluation_set, blend, rescored_all(evaluation_set.query_set, blend, progress) if ranking is None else ranking
    )


def rescored_all(query_set: QuerySet, blend: Blend, progress: Progress | None = None) -> Ranking:
    """A ranking in which nothing is open: probabilities look at every place, and one more may be hidden."""
    ranking = ranking_of(query_set, blend)
    return rescored(query_set, blend, ranking, np.flatnonzero(ranking.is_open(DEPTH)), progress)


@dataclass(frozen=True)
class SecondStagePosterior:
    """Posteriors by the second stage."""

    stage: SecondStage

    def out_of_fold(self) -> Posteriors:
        traits, probability = self.stage.cross_fitted()
        return Posteriors(traits.individual, traits.photo, probability)

    def of_exam(self, evaluation_set: EvaluationSet, here: np.ndarray) -> Posteriors:
        traits = self.stage.of_exam(evaluation_set).take(here)
        return Posteriors(traits.individual, traits.photo, self.stage.choice.of(traits))

    def of_test(self, query_set: QuerySet, progress: Progress | None = None) -> Posteriors:
        traits, probability = self.stage.of_test(query_set)
        return Posteriors(traits.individual, traits.photo, probability)


@dataclass(frozen=True)
class RankPosterior:
    """Posteriors by the ranking's own scores."""

    evaluation_set: EvaluationSet
    blend: Blend
    ranking: Ranking

    @cached_property
    def _lists(self) -> Ranking:
        return self.evaluation_set.ranking(self.ranking, self.blend.background)

    @cached_property
    def _posterior(self) -> Posterior:
        return fit_posterior(self._lists, self.evaluation_set.truth, self.evaluation_set.weights)

    def out_of_fold(self) -> Posteriors:
        evaluation_set, lists = self.evaluation_set, self._lists
        fold = evaluation_set.query_set.tasks[0].project.catalogue.folds[
            np.append(evaluation_set.rows, evaluation_set.hidden)
        ]
        out = np.empty((len(fold), OUTCOMES))
        for one in np.unique(fold):
            here = fold == one
            if not (evaluation_set.weights[~here] > 0).any():
                raise FinblendError(
                    f"without fold {one} no photo has weight in the stated mix: no probability can be told"
                )
            out[here] = fit_posterior(lists.take(~here), evaluation_set.truth[~here], evaluation_set.weights[~here]).of(
                lists.take(here)
            )
        return Posteriors(lists.individual, lists.photo, out)

    def of_exam(self, evaluation_set: EvaluationSet, here: np.ndarray) -> Posteriors:
        return self._named(evaluation_set.ranking(self.ranking, self.blend.background).take(here))

    def of_test(self, query_set: QuerySet, progress: Progress | None = None) -> Posteriors:
        ranking = predict(query_set, self.blend, progress).ranking
        return self._named(ranking.against_background(self.blend.background))

    def _named(self, lists: Ranking) -> Posteriors:
        return Posteriors(lists.individual, lists.photo, self._posterior.of(lists))
