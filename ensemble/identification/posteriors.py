"""Who is on a photo, with probabilities: by the second stage, or by a posterior over the blend's five best names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, settled
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import Exam
from ensemble.retrieval.query_set import Questions
from postproc import NOBODY, Ranking
from postproc.calibration.posterior import OUTCOMES, Posterior, fit_posterior, posterior_order
from postproc.ranking.ranking import DEPTH


@dataclass(frozen=True)
class Named:
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
    def of(cls, named: Named) -> Answers:
        """The likeliest five."""
        labels, place = posterior_order(named.individual, named.probability)
        nobody = np.full((len(labels), 2), NOBODY, dtype=named.photo.dtype)
        photo = np.take_along_axis(np.concatenate([named.photo, nobody], axis=1), place, axis=1)
        return cls(labels, np.take_along_axis(named.probability, place, axis=1), photo)


class Namer(Protocol):
    """Names photos by what an exam's photos tell."""

    def out_of_fold(self) -> Named:
        """The exam's photos, each by what was fitted on the other folds."""

    def of_exam(self, exam: Exam, here: np.ndarray) -> Named:
        """Some photos, given as a mask, of another exam of the same questions, by what was fitted on the whole exam."""

    def of_test(self, questions: Questions, progress: Progress | None = None) -> Named:
        """Test photos, by what was fitted on the whole exam."""


def namer_of(
    exam: Exam,
    blend: Blend,
    progress: Progress | None = None,
    ranking: Ranking | None = None,
    stage: SecondStage | None = None,
) -> Namer:
    """The second stage where the blend has one, otherwise a posterior.

    Parameters
    ----------
    exam : Exam
    blend : Blend
    progress : callable, optional
    ranking : Ranking, optional
        From `all_settled`, if that is known already; a second stage has no use for it.
    stage : SecondStage, optional
        The blend's own on this exam, if it is there already.
    """
    if blend.second_stage:
        return _ByStage(SecondStage(exam, blend, keep=True) if stage is None else stage)
    return _ByRank(exam, blend, all_settled(exam.questions, blend, progress) if ranking is None else ranking)


def all_settled(questions: Questions, blend: Blend, progress: Progress | None = None) -> Ranking:
    """A ranking in which nothing is open: probabilities look at every place, and one more may be hidden."""
    ranking = ranking_of(questions, blend)
    return settled(questions, blend, ranking, np.flatnonzero(ranking.is_open(DEPTH)), progress)


@dataclass(frozen=True)
class _ByStage:
    stage: SecondStage

    def out_of_fold(self) -> Named:
        traits, probability = self.stage.cross_fitted()
        return Named(traits.individual, traits.photo, probability)

    def of_exam(self, exam: Exam, here: np.ndarray) -> Named:
        traits = self.stage.of_exam(exam).take(here)
        return Named(traits.individual, traits.photo, self.stage.choice.of(traits))

    def of_test(self, questions: Questions, progress: Progress | None = None) -> Named:
        traits, probability = self.stage.of_test(questions)
        return Named(traits.individual, traits.photo, probability)


@dataclass(frozen=True)
class _ByRank:
    exam: Exam
    blend: Blend
    ranking: Ranking

    @cached_property
    def _lists(self) -> Ranking:
        return self.exam.ranking(self.ranking, self.blend.background)

    @cached_property
    def _posterior(self) -> Posterior:
        return fit_posterior(self._lists, self.exam.truth, self.exam.weights)

    def out_of_fold(self) -> Named:
        exam, lists = self.exam, self._lists
        fold = exam.questions.parts[0].project.catalogue.folds[np.append(exam.rows, exam.hidden)]
        out = np.empty((len(fold), OUTCOMES))
        for one in np.unique(fold):
            here = fold == one
            if not (exam.weights[~here] > 0).any():
                raise FinblendError(
                    f"without fold {one} no photo has weight in the stated mix: no probability can be told"
                )
            out[here] = fit_posterior(lists.take(~here), exam.truth[~here], exam.weights[~here]).of(lists.take(here))
        return Named(lists.individual, lists.photo, out)

    def of_exam(self, exam: Exam, here: np.ndarray) -> Named:
        return self._named(exam.ranking(self.ranking, self.blend.background).take(here))

    def of_test(self, questions: Questions, progress: Progress | None = None) -> Named:
        ranking = predict(questions, self.blend, progress).ranking
        return self._named(ranking.against_background(self.blend.background))

    def _named(self, lists: Ranking) -> Named:
        return Named(lists.individual, lists.photo, self._posterior.of(lists))
