"""The evaluation set: out-of-fold photos in the mix that test photos are expected to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from cv.catalogue import Catalogue
from cv.mix import Mix
from cv.populations import Population, Sample
from cv.weighting import joined_species, mix_weights
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import weights_of
from ensemble.retrieval.query_set import LabelledQuerySet
from postproc import NEW, Decision, Ranking
from postproc.ranking.rank import Ranker
from postproc.ranking.ranking import DEPTH
from postproc.ranking.scorer import BlendScore, BlendScorer

LISTS = ("individual", "score", "photo")

# Strangers that a species' single-photo individuals simulate are few and may be of other species than test's; known
# photos whose individual is hidden make up for this many photos of each species.
PRIOR_PHOTOS = 50.0


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Out-of-fold photos with the weight each has in the stated mix.

    Where no network was trained on the catalogue, each known photo stands twice: as itself, and as a simulated
    stranger, its individual hidden from the gallery. The columns have a row for each time a photo stands: first the
    n queries as themselves, then the m simulated strangers.

    Attributes
    ----------
    query_set : LabelledQuerySet
    queries : (n,) int array
        The queries that stand as themselves.
    simulated_new : (m,) int array
        Those of them that stand again, as strangers.
    weights : (n + m,) float64 array
        Summing to 1.
    joined : list of str
        Species whose own share of strangers too few photos could carry, see `cv.joined_species`.
    """

    query_set: LabelledQuerySet
    queries: np.ndarray
    simulated_new: np.ndarray
    weights: np.ndarray
    joined: list[str] = field(default_factory=list)

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue its photos are of."""
        return self.query_set.catalogue

    @cached_property
    def row(self) -> np.ndarray:
        """(n + m,) index of each row's photo in the query set."""
        return np.append(self.queries, self.simulated_new)

    @cached_property
    def is_simulated(self) -> np.ndarray:
        """(n + m,) bool: whether the row plays a stranger."""
        return np.arange(len(self.row)) >= len(self.queries)

    @cached_property
    def fold(self) -> np.ndarray:
        """(n + m,) fold of each row's photo."""
        return np.asarray(self.catalogue.folds[self.row])

    @cached_property
    def owner(self) -> np.ndarray:
        """(n + m,) individual on each row's photo, strangers' own included."""
        return np.asarray(self.catalogue.labels[self.row])

    @cached_property
    def species(self) -> np.ndarray:
        """(n + m,) likeliest species of each row's photo."""
        return np.asarray(self.query_set.species.likely[self.row])

    @cached_property
    def truth(self) -> np.ndarray:
        """(n + m,) int32 right answers, `NEW` for strangers."""
        return np.where(self.is_simulated, NEW, self.query_set.truth[self.row]).astype(np.int32)

    @cached_property
    def is_new(self) -> np.ndarray:
        """(n + m,) bool: whether the right answer is somebody new."""
        return np.asarray(self.truth == NEW)

    @property
    def new_share(self) -> float:
        """Weight of strangers."""
        return float(self.weights[self.is_new].sum())

    @cached_property
    def scorer(self) -> BlendScorer:
        """MAP@5 of recipe after recipe, in milliseconds."""
        queries = self.query_set
        return BlendScorer(
            queries.evidence,
            queries.species,
            queries.truth,
            self.weights,
            rows=self.queries,
            hidden=self.simulated_new,
        )

    @cached_property
    def _ranker_of_means(self) -> Ranker:
        return Ranker(self.query_set.evidence_for(2), self.query_set.species, self.queries)

    def score(self, blend: Blend, decision: Decision | None = None) -> BlendScore:
        """Score a blend among the candidates; without a decision its best one is solved exactly."""
        return self.scorer.score_ranking(self.ranking(blend), blend.background, decision)

    def ranking(self, blend: Blend) -> Ranking:
        """What a blend ranks for the queries that stand as themselves; the arrays are overwritten by the next call."""
        weights, recipe = weights_of(self.query_set, blend)
        ranker = self.scorer.ranker if blend.top_photos == 1 else self._ranker_of_means
        return ranker.rank(weights, top_photos=blend.top_photos, species_penalty=blend.species_penalty, recipe=recipe)

    def decided(self, blend: Blend) -> tuple[Blend, BlendScore]:
        """Give a blend its best rule and threshold, among the candidates, and tell what they reach."""
        score = self.score(blend)
        return blend.deciding(score.decision), score

    def score_ranking(self, ranking: Ranking, blend: Blend, decision: Decision | None = None) -> BlendScore:
        """The same from what the blend ranks for all queries."""
        return self.scorer.score_ranking(ranking.take(self.queries), blend.background, decision)

    def among(self, query_set: LabelledQuerySet) -> EvaluationSet:
        """The same rows and weights with other evidence of the same queries."""
        return replace(self, query_set=query_set)

    def lists(self, ranking: Ranking, background: float) -> Ranking:
        """Rankings of five against their background, a row a time, from what a blend ranks for all queries."""
        as_new = ranking.take(self.simulated_new).hiding(self.query_set.truth[self.simulated_new])
        as_itself = ranking.take(self.queries).first(DEPTH - 1)
        fields = (np.concatenate([getattr(part, name) for part in (as_itself, as_new)]) for name in LISTS)
        return Ranking(*fields).against_background(background)

    def share_of_new(self, labels: np.ndarray) -> float:
        """Weighted share of answers with somebody new in first place."""
        return float(self.weights @ (labels[:, 0] == NEW))


def build_evaluation_set(
    query_set: LabelledQuerySet, mix: Mix, test_species: np.ndarray | None = None, queries: np.ndarray | None = None
) -> EvaluationSet:
    """Weight out-of-fold queries to a mix.

    Parameters
    ----------
    query_set : LabelledQuerySet
    mix : Mix
    test_species : (n_species,) float array, optional
        Share of each species among the test photos, as predicted for them.
    queries : (n,) int array, optional
        Which queries make up the mix, all by default.
    """
    have, truth = query_set.gallery_photos, query_set.truth
    queries = np.arange(len(truth)) if queries is None else queries
    known = queries[truth[queries] != NEW]
    species = query_set.species.likely
    n_species = int(query_set.species.mismatch.shape[1])
    rate = mix.shares(query_set.species_names)
    simulated = known if query_set.can_hide and rate is not None and rate.any() else known[:0]
    per_species = np.bincount(species[known], minlength=n_species)
    count = np.ones(len(queries) + len(simulated))
    if rate is not None:
        count[len(queries) :] = PRIOR_PHOTOS * rate[species[simulated]] / per_species[species[simulated]]
    sample = Sample(
        gallery_photos=np.append(have[queries], np.zeros(len(simulated), dtype=have.dtype)),
        species=np.append(species[queries], species[simulated]),
        count=count,
    )
    if test_species is None and isinstance(mix.new_share, Mapping):
        # as out-of-fold, without the photos that stand twice
        test_species = np.bincount(species[queries], minlength=n_species) / len(queries)
    population = Population(
        query_set.catalogue_photos, query_set.species.of_individual, test_species, query_set.species_names
    )
    weights = mix_weights(sample, population, mix)
    return EvaluationSet(
        query_set=query_set,
        queries=queries,
        simulated_new=simulated,
        weights=weights,
        joined=joined_species(sample, population, mix),
    )
