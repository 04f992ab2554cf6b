"""The second stage: each photo's best candidates judged again by all that the sources say about them.

The blend finds the candidates; a conditional logit (`postproc.second_stage.conditional_logit`) gives each of them,
somebody new and somebody missed a probability. It is fitted on out-of-fold candidates, and a photo is only scored by
one that never saw its fold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, weights_of
from ensemble.project.cache import FEW, cached
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.registry.predicted_logits import logits_of, why_logits_unusable
from ensemble.retrieval.query_set import QuerySet
from postproc import NOBODY, Ranking
from postproc.calibration.posterior import posterior_order
from postproc.second_stage.candidates import PLACES, Candidates, candidates_of
from postproc.second_stage.cohort import COHORT, NO_FOLD, cohort_background, of_individuals
from postproc.second_stage.conditional_logit import ConditionalLogit, fit_conditional_logit
from postproc.second_stage.features import CandidateFeatures, candidate_features

HOW_STAGED = (
    "second stage cross-fitted: each fold's photos by what was fitted on the other folds, weighted to the stated mix; "
    "the blend's weights have seen all folds; no network saw the label of a photo it scored"
)
# the stage is used where this share of the drawn catalogues shows a gain
CONFIDENCE = 0.95


class SecondStage:
    """The second stage of a blend, on an evaluation set.

    Parameters
    ----------
    evaluation set : EvaluationSet
    blend : Blend
    keep : bool
        Whether the project's cache is to hold what is fitted: of the blend that is written, not of those tried.
    """

    def __init__(self, evaluation_set: EvaluationSet, blend: Blend, keep: bool = False) -> None:
        self.evaluation_set, self.blend, self._keep = evaluation_set, blend, keep
        tasks = evaluation_set.query_set.tasks
        catalogue = tasks[0].project.catalogue
        self._folds, labels = catalogue.folds, catalogue.labels
        # Test photos that joined the gallery have no say in its background: whom another fold's set names was told by
        # photos of this fold.
        joined = max(len(task.gallery.labels) for task in tasks) - len(labels)
        weights, _ = weights_of(evaluation_set.query_set, blend)
        n_folds, people = len(catalogue.fold_ids), len(catalogue.individuals)
        self._background: dict[int, np.ndarray] = {}
        self._photos = {task.fold: task.photos_met for task in tasks if task.fold is not None}
        for fold in (NO_FOLD, *catalogue.fold_ids):
            inside = self._folds != fold
            # a fold less is a smaller cohort: its k-th individual is as rare as the whole's if k falls with its size
            k = COHORT if fold == NO_FOLD else max(1, round(COHORT * (n_folds - 2) / max(n_folds - 1, 1)))
            hidden = np.append(self._folds, np.full(joined, fold))
            found = cohort_background(evaluation_set.query_set.evidence, weights[0], labels, hidden, fold, k)
            self._background[fold] = of_individuals(found[inside], labels[inside], people)
        if n_folds < 3:
            # with two folds nothing is left to tell a background from once the query's fold is hidden
            self._background = {fold: np.zeros_like(found) for fold, found in self._background.items()}
        self.traits = self.of_exam(evaluation_set)
        self.fold = self._fold_of(evaluation_set)

    def of_exam(self, evaluation_set: EvaluationSet) -> CandidateFeatures:
        """Traits of an evaluation set's photos as they sit, hidden ones without their individual."""
        query_set = evaluation_set.query_set
        assert query_set.truth is not None  # noqa: S101 - checked by `sit`
        found = self._candidates(query_set, PLACES + 1)
        again = found.take(evaluation_set.hidden).hiding(query_set.truth[evaluation_set.hidden])
        sat = np.append(evaluation_set.rows, evaluation_set.hidden)
        found, fold = found.take(evaluation_set.rows).first(PLACES).joined(again), self._fold_of(evaluation_set)
        who = np.maximum(found.individual, 0)
        photos = np.empty(who.shape, dtype=np.int64)
        for one in np.unique(fold).tolist():
            photos[fold == one] = self._photos[one][who[fold == one]]
        logits = self._logits(query_set, sat, found.individual)
        doubt, likely = query_set.species.doubt[sat], query_set.species.likely[sat]
        return self._describe(found, photos, doubt, likely, fold, logits)

    def of_test(self, query_set: QuerySet) -> tuple[CandidateFeatures, np.ndarray]:
        """Traits and probabilities of test photos, by what was fitted on the whole evaluation set.

        Where a fold is not in their gallery, its photos have no say in the gallery's background and photo counts.
        """
        found = self._candidates(query_set, PLACES)
        (task,) = query_set.tasks
        photos = task.photos_met[np.maximum(found.individual, 0)]
        own = task.gallery.own(task.rows)
        itself = (found.individual == task.gallery.labels[own][:, None]) & (own != NOBODY)[:, None]
        fold = np.full(len(query_set.images), NO_FOLD if task.fold is None else task.fold)
        logits = self._logits(query_set, np.arange(len(fold)), found.individual)
        doubt, likely = query_set.species.doubt, query_set.species.likely
        traits = self._describe(found, photos - itself, doubt, likely, fold, logits)
        return traits, self.choice.of(traits)

    def of_held_out(self, here: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(k, 5) labels of some of the photos, by what was fitted on the others with the given weights."""
        traits = self.traits.take(here)
        choice = fit_conditional_logit(self.traits, self.evaluation_set.truth, np.where(here, 0.0, weights))
        return posterior_order(traits.individual, choice.of(traits))[0]

    @cached_property
    def choice(self) -> ConditionalLogit:
        """What names test photos: fitted on the whole evaluation set."""
        return self._fitted(NO_FOLD, self.evaluation_set.weights)

    def _fitted(self, fold: int, weights: np.ndarray) -> ConditionalLogit:
        """Fit with some weights; what was fitted to the very same traits, truth and weights is not fitted again."""
        traits, truth = self.traits, self.evaluation_set.truth
        if not self._keep:
            return fit_conditional_logit(traits, truth, weights)
        made_from = [self._traits_hash, hashlib.sha256(truth.tobytes() + weights.tobytes()).hexdigest()]
        cache = self.evaluation_set.query_set.tasks[0].project.cache
        name = "second-stage" if fold == NO_FOLD else f"second-stage-fold{fold}"
        found = cached(
            cache, name, made_from, lambda: {"fitted": fit_conditional_logit(traits, truth, weights).flat()}, keep=FEW
        )
        return ConditionalLogit.from_flat(traits.names, traits.query_names, found["fitted"])

    @cached_property
    def _traits_hash(self) -> str:
        found = hashlib.sha256(repr((self.traits.names, self.traits.query_names)).encode())
        traits = self.traits
        for array in (traits.candidate, traits.query, traits.present, traits.individual, traits.species):
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    @cached_property
    def _own(self) -> tuple[CandidateFeatures, np.ndarray]:
        return self.traits, self._by_others(self.traits, self.fold)

    @cached_property
    def without(self) -> dict[int, ConditionalLogit]:
        """What names each fold's photos: fitted on the other folds'."""
        found = {}
        for fold in np.unique(self.fold).tolist():
            weights = np.where(self.fold == fold, 0.0, self.evaluation_set.weights)
            if not weights.any():
                raise FinblendError(
                    f"without fold {fold} no photo has weight in the stated mix: no probability can be told"
                )
            found[fold] = self._fitted(fold, weights)
        return found

    def cross_fitted(self, evaluation_set: EvaluationSet | None = None) -> tuple[CandidateFeatures, np.ndarray]:
        """Traits and probabilities of the evaluation set's photos (or of the same photos in another mix)."""
        if evaluation_set is None:
            return self._own
        if np.array_equal(evaluation_set.rows, self.evaluation_set.rows):
            # the same photos with other weights, or only those that sit as themselves
            if np.array_equal(evaluation_set.hidden, self.evaluation_set.hidden):
                return self._own
            if not len(evaluation_set.hidden):
                traits, probability = self._own
                rows = np.arange(len(evaluation_set.rows))
                return traits.take(rows), probability[rows]
        traits = self.of_exam(evaluation_set)
        return traits, self._by_others(traits, self._fold_of(evaluation_set))

    def _by_others(self, traits: CandidateFeatures, fold: np.ndarray) -> np.ndarray:
        probability = np.empty((len(fold), PLACES + 2))
        for one, choice in self.without.items():
            probability[fold == one] = choice.of(traits.take(fold == one))
        return probability

    def answers(self, evaluation_set: EvaluationSet | None = None) -> np.ndarray:
        """(n + m, 5) labels of the evaluation set's photos, by stages that never saw their fold."""
        traits, probability = self.cross_fitted(evaluation_set)
        if traits is self.traits:
            return self._own_answers
        return posterior_order(traits.individual, probability)[0]

    @cached_property
    def _own_answers(self) -> np.ndarray:
        return posterior_order(self.traits.individual, self._own[1])[0]

    def _fold_of(self, evaluation_set: EvaluationSet) -> np.ndarray:
        return np.asarray(self._folds[np.append(evaluation_set.rows, evaluation_set.hidden)])

    def _candidates(self, query_set: QuerySet, places: int) -> Candidates:
        weights, recipe = weights_of(query_set, self.blend)
        return candidates_of(query_set.evidence, weights, recipe, query_set.species, self.blend.species_penalty, places)

    def _logits(self, query_set: QuerySet, sat: np.ndarray, individual: np.ndarray) -> dict[str, np.ndarray]:
        """Per source whose stores have usable logits everywhere: (n, places), NaN where an individual is no class."""
        found: dict[str, np.ndarray] = {}
        for name in self._with_logits:
            found[name] = np.full(individual.shape, np.nan, dtype=np.float32)
            for task in query_set.tasks:
                here = np.flatnonzero(np.isin(sat, task.rows)) if len(query_set.tasks) > 1 else np.arange(len(sat))
                split = "test" if query_set.truth is None else "train"
                catalogue = task.project.catalogue
                stores = [store for store in task.stores[name] if why_logits_unusable(store, catalogue) is None]
                own = logits_of(stores, split, sat[here], individual[here], catalogue)
                if own is None:
                    raise FinblendError(
                        f"{name}: the second stage was fitted with its logits, and what names these photos has none "
                        "that can be used; register it with pred_idx, pred_logit and --labels, or --use folds"
                    )
                found[name][here] = own
        return found

    @cached_property
    def _with_logits(self) -> list[str]:
        tasks = self.evaluation_set.query_set.tasks
        return [
            name
            for name in self.evaluation_set.query_set.evidence.sources
            if all(
                why_logits_unusable(store, task.project.catalogue) is None
                for task in tasks
                for store in task.stores[name]
            )
        ]

    def _describe(
        self,
        found: Candidates,
        photos: np.ndarray,
        doubt: np.ndarray,
        likely: np.ndarray,
        fold: np.ndarray,
        logits: dict[str, np.ndarray],
    ) -> CandidateFeatures:
        query_set = self.evaluation_set.query_set
        who = np.maximum(found.individual, 0)
        background = np.empty((*who.shape, len(query_set.evidence.sources) + 1), dtype=np.float32)
        for one in np.unique(fold).tolist():
            here = fold == one
            background[here] = self._background[one][who[here]]
        own_doubt = np.take_along_axis(doubt, query_set.species.of_individual[who].astype(np.int64), axis=1)
        return candidate_features(found, query_set.evidence.sources, photos, own_doubt, background, likely, logits)


@dataclass(frozen=True)
class SecondStageTest:
    """Whether the second stage is used, and what it was judged by.

    Attributes
    ----------
    used : bool
    map5 : float
        Of the stage, cross-fitted over folds.
    gain : float
        Over the plain blend, whose decision has seen the photos it is scored on.
    sure : float
        Share of drawn catalogues (bootstrap over individuals) in which there is a gain.
    """

    used: bool
    map5: float
    gain: float
    sure: float


def second_stage_helps(evaluation_set: EvaluationSet, blend: Blend) -> bool:
    """Whether a blend is to have a second stage; not where some fold's photos alone carry the mix."""
    try:
        return judge(SecondStage(evaluation_set, blend)).used
    except FinblendError:
        return False


def judge(stage: SecondStage, ranking: Ranking | None = None) -> SecondStageTest:
    """Use the second stage if it is clearly better than its blend, both on the evaluation set.

    Parameters
    ----------
    stage : SecondStage
    ranking : Ranking, optional
        Of all questions by the blend; among the candidates by default.
    """
    evaluation_set, blend = stage.evaluation_set, stage.blend
    plain = evaluation_set.precisions(
        ranking_of(evaluation_set.query_set, blend) if ranking is None else ranking, blend
    )
    precision = average_precisions(stage.answers(), evaluation_set.truth)
    labels = evaluation_set.query_set.tasks[0].project.catalogue.labels
    draws = Bootstrap(evaluation_set, labels).draws(np.stack([precision, plain]))
    sure = float((draws[:, 0] > draws[:, 1]).mean())
    score = float(evaluation_set.weights @ precision)
    return SecondStageTest(sure >= CONFIDENCE, score, score - float(evaluation_set.weights @ plain), sure)
