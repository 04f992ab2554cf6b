"""The second stage: each photo's best candidates weighed again by all that the models say about them.

The blend finds the candidates; a conditional logit (`postproc.second_stage.conditional_logit`) gives each of them,
somebody new and somebody missed a probability. It is fitted on out-of-fold candidates, and an out-of-fold photo is only
given the probabilities of a fit that never saw its fold.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Self

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.identification.candidate_table import CandidateTable
from ensemble.identification.posteriors import Posteriors, refuse_train
from ensemble.project.cache import FEW, cached
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc.second_stage.cohort import NO_FOLD
from postproc.second_stage.conditional_logit import ConditionalLogit, fit_conditional_logit
from postproc.second_stage.features import CandidateFeatures

HOW_STAGED = (
    "second stage cross-fitted: each fold's photos by what was fitted on the other folds, weighted to the stated mix; "
    "the blend's weights have seen all folds; no network saw the label of a photo it scored"
)


class SecondStage:
    """The second stage of a blend, fitted on an evaluation set. What is fitted is fitted when it is asked for.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    table : CandidateTable
        Of the same queries.
    """

    def __init__(self, evaluation_set: EvaluationSet, table: CandidateTable) -> None:
        self.evaluation_set, self.table = evaluation_set, table
        self._features: dict[bytes, CandidateFeatures] = {}

    @classmethod
    def of(cls, evaluation_set: EvaluationSet, blend: Blend) -> Self:
        """The stage of a blend."""
        return cls(evaluation_set, CandidateTable(evaluation_set.query_set, blend))

    def posteriors(self, photos: EvaluationSet | QuerySet) -> Posteriors:
        """Out-of-fold photos each by a fit that never saw their fold, test photos by the fit on all folds."""
        if not isinstance(photos, EvaluationSet):
            refuse_train(photos)
            return _posteriors(self.table.of_test(photos), self.fitted)
        features = self.features(photos)
        probability = np.empty((len(photos.row), features.present.shape[1] + 2))
        for fold, fit in self.fitted_without.items():
            inside = photos.fold == fold
            probability[inside] = fit.of(features.take(inside))
        return Posteriors(features.individual, features.photo, probability)

    def held_out(self, evaluation_set: EvaluationSet, inside: np.ndarray) -> Posteriors:
        """Rows of another evaluation set, given as a mask, that the whole fit has not seen."""
        return _posteriors(self.table.out_of_fold(evaluation_set, inside), self.fitted)

    def features(self, evaluation_set: EvaluationSet) -> CandidateFeatures:
        """Features of an evaluation set's rows: the same rows in another mix have the same."""
        key = evaluation_set.queries.tobytes() + b"/" + evaluation_set.simulated_new.tobytes()
        if key not in self._features:
            self._features[key] = self.table.out_of_fold(evaluation_set)
        return self._features[key]

    @cached_property
    def fitted(self) -> ConditionalLogit:
        """What names test photos: fitted on the whole evaluation set."""
        return self._fit(NO_FOLD, self.evaluation_set.weights)

    @cached_property
    def fitted_without(self) -> dict[int, ConditionalLogit]:
        """What names each fold's photos: fitted on the other folds'."""
        fits = {}
        for fold in np.unique(self.evaluation_set.fold).tolist():
            weights = np.where(self.evaluation_set.fold == fold, 0.0, self.evaluation_set.weights)
            if not weights.any():
                raise FinblendError(
                    f"without fold {fold} no photo has weight in the stated mix: no probability can be told"
                )
            fits[fold] = self._fit(fold, weights)
        return fits

    def _fit(self, fold: int, weights: np.ndarray) -> ConditionalLogit:
        return fit_conditional_logit(self.features(self.evaluation_set), self.evaluation_set.truth, weights)


class KeptSecondStage(SecondStage):
    """The second stage of a blend that is written: its fits stay in the project's cache."""

    def _fit(self, fold: int, weights: np.ndarray) -> ConditionalLogit:
        features, truth = self.features(self.evaluation_set), self.evaluation_set.truth
        made_from = [self._features_hash, hashlib.sha256(truth.tobytes() + weights.tobytes()).hexdigest()]
        name = "second-stage" if fold == NO_FOLD else f"second-stage-fold{fold}"
        kept = cached(
            self.evaluation_set.query_set.project.cache,
            name,
            made_from,
            lambda: {"fitted": super(KeptSecondStage, self)._fit(fold, weights).flat()},
            keep=FEW,
        )
        return ConditionalLogit.from_flat(features.names, features.query_names, kept["fitted"], features.own_say)

    @cached_property
    def _features_hash(self) -> str:
        features = self.features(self.evaluation_set)
        digest = hashlib.sha256(repr((features.names, features.query_names)).encode())
        for array in (features.candidate, features.query, features.present, features.individual, features.species):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _posteriors(features: CandidateFeatures, fit: ConditionalLogit) -> Posteriors:
    return Posteriors(features.individual, features.photo, fit.of(features))
