"""What the second stage knows of each query's candidates: features, for queries as themselves and as strangers."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import weights_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.registry.predicted_logits import logits_of, why_logits_unusable
from ensemble.retrieval.query_set import LabelledQuerySet, QuerySet
from postproc import NOBODY
from postproc.second_stage.candidates import PLACES, Candidates, candidates_of
from postproc.second_stage.cohort import COHORT, NO_FOLD, cohort_background, of_individuals
from postproc.second_stage.features import CandidateFeatures, candidate_features


class CandidateTable:
    """Features of a blend's candidates, relative to what out-of-fold queries tell of the gallery.

    Parameters
    ----------
    query_set : LabelledQuerySet
        Out-of-fold: each individual's background in the gallery is told by these photos.
    blend : Blend
    """

    def __init__(self, query_set: LabelledQuerySet, blend: Blend) -> None:
        self.query_set, self.blend = query_set, blend
        tasks, catalogue = query_set.tasks, query_set.catalogue
        folds, labels = catalogue.folds, catalogue.labels
        # Test photos that joined the gallery have no say in its background: whom another fold's set names was told by
        # photos of this fold.
        joined = max(len(task.gallery.labels) for task in tasks) - len(labels)
        weights, _ = weights_of(query_set, blend)
        n_folds, people = len(catalogue.fold_ids), len(catalogue.individuals)
        self._background: dict[int, np.ndarray] = {}
        self._photos = {task.fold: task.photos_met for task in tasks if task.fold is not None}
        for fold in (NO_FOLD, *catalogue.fold_ids):
            inside = folds != fold
            # a fold less is a smaller cohort: its k-th individual is as rare as the whole's if k falls with its size
            k = COHORT if fold == NO_FOLD else max(1, round(COHORT * (n_folds - 2) / max(n_folds - 1, 1)))
            hidden = np.append(folds, np.full(joined, fold))
            background = cohort_background(query_set.evidence, weights[0], labels, hidden, fold, k)
            self._background[fold] = of_individuals(background[inside], labels[inside], people)
        if n_folds < 3:
            # with two folds nothing is left to tell a background from once the query's fold is hidden
            self._background = {fold: np.zeros_like(values) for fold, values in self._background.items()}

    def out_of_fold(self, evaluation_set: EvaluationSet) -> CandidateFeatures:
        """Features of an evaluation set's rows, simulated strangers without their individual."""
        query_set, row, fold = evaluation_set.query_set, evaluation_set.row, evaluation_set.fold
        simulated = evaluation_set.simulated_new
        candidates = self._candidates(query_set, PLACES + 1)
        as_new = candidates.take(simulated).hiding(query_set.truth[simulated])
        candidates = candidates.take(evaluation_set.queries).first(PLACES).joined(as_new)
        individual = np.maximum(candidates.individual, 0)
        photos = np.empty(individual.shape, dtype=np.int64)
        for one_fold in np.unique(fold).tolist():
            inside = fold == one_fold
            photos[inside] = self._photos[one_fold][individual[inside]]
        return self._features(query_set, row, candidates, photos, fold)

    def of_test(self, query_set: QuerySet) -> CandidateFeatures:
        """Features of test queries.

        Where a fold is not in their gallery, its photos have no say in the gallery's background and photo counts.
        """
        candidates = self._candidates(query_set, PLACES)
        (task,) = query_set.tasks
        photos = task.photos_met[np.maximum(candidates.individual, 0)]
        itself = task.gallery.own(task.rows)
        is_itself = (candidates.individual == task.gallery.labels[itself][:, None]) & (itself != NOBODY)[:, None]
        row = np.arange(len(query_set.images))
        fold = np.full(len(row), NO_FOLD if task.fold is None else task.fold)
        return self._features(query_set, row, candidates, photos - is_itself, fold)

    def _candidates(self, query_set: QuerySet, places: int) -> Candidates:
        weights, recipe = weights_of(query_set, self.blend)
        return candidates_of(query_set.evidence, weights, recipe, query_set.species, self.blend.species_penalty, places)

    def _features(
        self, query_set: QuerySet, row: np.ndarray, candidates: Candidates, photos: np.ndarray, fold: np.ndarray
    ) -> CandidateFeatures:
        models = self.query_set.evidence.sources
        individual = np.maximum(candidates.individual, 0)
        background = np.empty((*individual.shape, len(models) + 1), dtype=np.float32)
        for one_fold in np.unique(fold).tolist():
            inside = fold == one_fold
            background[inside] = self._background[one_fold][individual[inside]]
        mismatch, likely = query_set.species.mismatch[row], query_set.species.likely[row]
        species = self.query_set.species.of_individual[individual].astype(np.int64)
        mismatch_of_candidate = np.take_along_axis(mismatch, species, axis=1)
        logits = self._logits(query_set, row, candidates.individual)
        return candidate_features(candidates, models, photos, mismatch_of_candidate, background, likely, logits)

    def _logits(self, query_set: QuerySet, row: np.ndarray, individual: np.ndarray) -> dict[str, np.ndarray]:
        """Per model whose stores have usable logits everywhere: (n, places), NaN where an individual is no class."""
        by_model: dict[str, np.ndarray] = {}
        for name in self._with_logits:
            by_model[name] = np.full(individual.shape, np.nan, dtype=np.float32)
            for task in query_set.tasks:
                inside = np.flatnonzero(np.isin(row, task.rows)) if len(query_set.tasks) > 1 else np.arange(len(row))
                catalogue = task.project.catalogue
                stores = [store for store in task.stores[name] if why_logits_unusable(store, catalogue) is None]
                logits = logits_of(stores, task.split, row[inside], individual[inside], catalogue)
                if logits is None:
                    raise FinblendError(
                        f"{name}: the second stage was fitted with its logits, and what names these photos has none "
                        "that can be used; register it with pred_idx, pred_logit and --labels, or --use folds"
                    )
                by_model[name][inside] = logits
        return by_model

    @cached_property
    def _with_logits(self) -> list[str]:
        tasks, catalogue = self.query_set.tasks, self.query_set.catalogue
        return [
            name
            for name in self.query_set.evidence.sources
            if all(why_logits_unusable(store, catalogue) is None for task in tasks for store in task.stores[name])
        ]
