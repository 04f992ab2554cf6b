"""Posteriors of a blend without a second stage: a model of its five best names' scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.posteriors import Posteriors, refuse_train
from ensemble.identification.prediction import certain_ranking
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking
from postproc.calibration.posterior import OUTCOMES, Posterior, fit_posterior
from postproc.ranking.ranking import DEPTH


@dataclass(frozen=True)
class RankPosterior:
    """A posterior model of ranked lists.

    Attributes
    ----------
    evaluation_set : EvaluationSet
        What it is fitted on.
    blend : Blend
    ranking : Ranking
        Of all its queries, as of `wholly_certain_ranking`.
    progress : callable or None
    """

    evaluation_set: EvaluationSet
    blend: Blend
    ranking: Ranking
    progress: Progress | None = None

    def posteriors(self, photos: EvaluationSet | QuerySet) -> Posteriors:
        """Out-of-fold photos each by a fit that never saw their fold, test photos by the fit on all folds."""
        if not isinstance(photos, EvaluationSet):
            refuse_train(photos)
            ranking, _ = certain_ranking(photos, self.blend, self.progress)
            return _posteriors(photos.lists(ranking, self.blend.background), self._fitted)
        lists = photos.lists(self.ranking, self.blend.background)
        probability = np.empty((len(photos.row), OUTCOMES))
        for fold in np.unique(photos.fold):
            inside = photos.fold == fold
            probability[inside] = self._fitted_without(fold).of(lists.take(inside))
        return Posteriors(lists.individual, lists.photo, probability)

    def held_out(self, evaluation_set: EvaluationSet, inside: np.ndarray) -> Posteriors:
        """Rows of another evaluation set, given as a mask, that the whole fit has not seen."""
        lists = evaluation_set.lists(self.ranking, self.blend.background)
        return _posteriors(lists.take(inside), self._fitted)

    @cached_property
    def _lists(self) -> Ranking:
        return self.evaluation_set.lists(self.ranking, self.blend.background)

    @cached_property
    def _fitted(self) -> Posterior:
        return fit_posterior(self._lists, self.evaluation_set.truth, self.evaluation_set.weights)

    def _fitted_without(self, fold: int) -> Posterior:
        others = self.evaluation_set.fold != fold
        truth, weights = self.evaluation_set.truth[others], self.evaluation_set.weights[others]
        if not (weights > 0).any():
            raise FinblendError(
                f"without fold {fold} no photo has weight in the stated mix: no probability can be told"
            )
        return fit_posterior(self._lists.take(others), truth, weights)


def _posteriors(lists: Ranking, fit: Posterior) -> Posteriors:
    return Posteriors(lists.individual, lists.photo, fit.of(lists))


def wholly_certain_ranking(query_set: QuerySet, blend: Blend, progress: Progress | None = None) -> Ranking:
    """A ranking in which nothing is open: probabilities look at every place, and one more may be hidden."""
    ranking = ranking_of(query_set, blend)
    return rescored(query_set, blend, ranking, np.flatnonzero(ranking.is_open(DEPTH)), progress)
