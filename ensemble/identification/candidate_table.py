"""What the second stage knows of each query's candidates: features, for queries as themselves and as strangers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from cv.left_out import FOLD
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import weights_of
from ensemble.identification.head_logit import HeadLogit
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.registry.predicted_logits import why_logits_unusable
from ensemble.retrieval.query_set import LabelledQuerySet, QuerySet
from postproc import Evidence
from postproc.second_stage.candidates import Candidates, candidates_of
from postproc.second_stage.cohort import COHORT, NO_FOLD, GalleryBackground, cohort_background
from postproc.second_stage.features import CandidateFeatures, candidate_features
from postproc.second_stage.traits import CandidateRows, PairColumn, Trait, pair_traits, usual_score

# (n, places, columns) numbers of candidates
Told: TypeAlias = Callable[[CandidateRows], np.ndarray]


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
        weights, _ = weights_of(query_set, blend)
        self._background = self._backgrounds(query_set.evidence, weights[0])

    def _backgrounds(self, evidence: Evidence, weights: np.ndarray) -> dict[int, np.ndarray]:
        """(n, sources + 1) background of the gallery's photos, by the fold that has no say."""
        tasks, catalogue = self.query_set.tasks, self.query_set.catalogue
        folds, labels = catalogue.folds, catalogue.labels
        # Test photos that joined the gallery have no say in its background: whom another fold's set names was told by
        # photos of this fold.
        joined = max(len(task.gallery.labels) for task in tasks) - len(labels)
        by_fold, n_folds = self.query_set.leave_out == FOLD, len(catalogue.fold_ids)
        backgrounds: dict[int, np.ndarray] = {}
        for fold in (NO_FOLD, *catalogue.fold_ids):
            # a fold less is a smaller cohort: its k-th individual is as rare as the whole's if k falls with its size
            k = COHORT if fold == NO_FOLD else max(1, round(COHORT * (1 - 1 / max(n_folds - by_fold, 1))))
            hidden = np.append(folds, np.full(joined, fold))
            values = cohort_background(evidence, weights, labels, hidden, fold, k)
            if by_fold and n_folds < 3:
                # with two folds nothing is left to tell a background from once the query's fold is hidden
                values = np.zeros_like(values)
            backgrounds[fold] = values
        return backgrounds

    def out_of_fold(self, evaluation_set: EvaluationSet) -> CandidateFeatures:
        """Features of an evaluation set's rows, simulated strangers without their individual."""
        query_set, row, fold = evaluation_set.query_set, evaluation_set.row, evaluation_set.fold
        simulated = evaluation_set.simulated_new
        candidates = self._candidates(query_set).take(evaluation_set.queries)
        if len(simulated):
            candidates = candidates.joined(self._candidates(query_set, query_set.truth).take(simulated))
        return self._features(query_set, CandidateRows(candidates, row, fold))

    def of_test(self, query_set: QuerySet) -> CandidateFeatures:
        """Features of test queries.

        Where a fold is not in their gallery, its photos have no say in the gallery's background and photo counts.
        """
        candidates = self._candidates(query_set)
        (task,) = query_set.tasks
        row = np.arange(len(query_set.images))
        fold = np.full(len(row), NO_FOLD if task.fold is None else task.fold)
        return self._features(query_set, CandidateRows(candidates, row, fold))

    def _candidates(self, query_set: QuerySet, hidden: np.ndarray | None = None) -> Candidates:
        weights, recipe = weights_of(query_set, self.blend)
        return candidates_of(
            query_set.evidence, weights, recipe, query_set.species, self.blend.species_penalty, hidden=hidden
        )

    def _features(self, query_set: QuerySet, rows: CandidateRows) -> CandidateFeatures:
        models = self.query_set.evidence.sources
        individual = np.maximum(rows.candidates.individual, 0)
        photos = query_set.photos_met(rows.query, individual)
        background = self._met(self._background, query_set)(rows).astype(np.float32)
        mismatch, likely = query_set.species.mismatch[rows.query], query_set.species.likely[rows.query]
        species = self.query_set.species.of_individual[individual].astype(np.int64)
        mismatch_of_candidate = np.take_along_axis(mismatch, species, axis=1)
        traits = [*self._logit_traits(query_set), *self._pair_traits(query_set)]
        return candidate_features(
            rows.candidates, models, photos, mismatch_of_candidate, background, likely, traits, rows
        )

    def _logit_traits(self, query_set: QuerySet) -> list[Trait]:
        """Of each model whose stores have usable logits everywhere."""
        tasks, catalogue = self.query_set.tasks, self.query_set.catalogue
        return [
            HeadLogit(name, query_set)
            for name in self.query_set.evidence.sources
            if all(why_logits_unusable(store, catalogue) is None for task in tasks for store in task.stores[name])
        ]

    def _pair_traits(self, query_set: QuerySet) -> list[Trait]:
        """Of each pair source's score, and of its second number where it has one; asked of a query set."""
        return [
            trait
            for column, backgrounds in self._pair_columns
            for trait in pair_traits(column, _first(self._met(backgrounds, query_set)))
        ]

    @cached_property
    def _pair_columns(self) -> list[tuple[PairColumn, dict[int, np.ndarray]]]:
        """Each column of a pair source that says something, and the gallery's background by it."""
        pairs, columns = self.query_set.evidence.pairs, list[tuple[PairColumn, dict[int, np.ndarray]]]()
        if pairs is None:
            return columns
        for c, name in enumerate(self.query_set.pair_columns):
            score = pairs[:, c]
            if not np.isnan(score).all():
                column = PairColumn(name, c, usual_score(score))
                columns.append((column, self._cohort(np.arcsinh(score / column.scale))))
        return columns

    def _cohort(self, level: np.ndarray) -> dict[int, np.ndarray]:
        """The gallery's background by a pair source, by the fold that has no say."""
        known = np.where(np.isnan(level), -np.inf, level).astype(np.float32)[:, None]
        evidence = replace(
            self.query_set.evidence, sources=("pairs",), channels=np.zeros((1, 1), np.int32), similarity=known
        )
        return self._backgrounds(evidence, np.zeros(1))

    def _met(self, backgrounds: dict[int, np.ndarray], query_set: QuerySet) -> Told:
        """Tell the background of candidates' photos that the queries of a set meet."""
        catalogue = self.query_set.catalogue
        of_tasks = []
        for task in query_set.tasks:
            fold = NO_FOLD if task.fold is None else task.fold
            # photos of the fold that has no say do not say either what is usual
            groups, told = task.gallery.photo_groups[: len(catalogue.labels)], catalogue.folds != fold
            of_tasks.append(GalleryBackground.of(backgrounds[fold], catalogue.labels, groups, told))

        def told_of(rows: CandidateRows) -> np.ndarray:
            individual = np.maximum(rows.candidates.individual, 0)
            out = np.empty((*individual.shape, backgrounds[NO_FOLD].shape[1]))
            for task, background in zip(query_set.tasks, of_tasks, strict=True):
                inside = np.isin(rows.query, task.rows)
                out[inside] = background.met(task.gallery.group_of(rows.query[inside]), individual[inside])
            return out

        return told_of


def _first(told: Told) -> Told:
    """(n, places) the first column alone."""
    return lambda rows: told(rows)[:, :, 0]
