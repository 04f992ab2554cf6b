"""The evaluation set a blend sits: out-of-fold photos in the mix that test photos are expected to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Mix
from cv.populations import Population, Sample
from cv.weighting import joined_species, mix_weights
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import weights_of
from ensemble.retrieval.query_set import QuerySet
from postproc import NEW, Decision, Ranking, decide
from postproc.ranking.ranking import DEPTH
from postproc.ranking.scorer import BlendScore, BlendScorer

LISTS = ("individual", "score", "photo")

# Strangers that a species' single-photo individuals simulate are few and may be of other species than test's; known
# photos whose individual is hidden make up for this many photos of each species.
PRIOR_PHOTOS = 50.0


@dataclass(frozen=True)
class EvaluationSet:
    """Out-of-fold photos with the weight each has in the stated mix.

    Where no network was trained on the catalogue, each known photo sits twice: as itself, and as a stranger whose
    individual is hidden from the gallery.

    Attributes
    ----------
    questions : Questions
    rows : (n,) int array
        The questions that sit.
    hidden : (m,) int array
        Those of them that sit again with their individual hidden.
    weights : (n + m,) float64 array
        Summing to 1: first the questions as they are, then the hidden ones.
    joined : list of str
        Species whose own share of strangers too few photos could carry, see `cv.joined_species`.
    """

    query_set: QuerySet
    rows: np.ndarray
    hidden: np.ndarray
    weights: np.ndarray
    joined: list[str] = field(default_factory=list)

    @cached_property
    def truth(self) -> np.ndarray:
        """(n + m,) int32 right answers."""
        own = self.query_set.truth
        assert own is not None  # noqa: S101 - checked by `sit`
        return np.append(own[self.rows], np.full(len(self.hidden), NEW, dtype=np.int32))

    @cached_property
    def trials(self) -> BlendScorer:
        """The evaluation set as trials sit it: MAP@5 of recipe after recipe, in milliseconds."""
        own = self.query_set
        assert own.truth is not None  # noqa: S101 - checked by `sit`
        return BlendScorer(own.evidence, own.species, own.truth, self.weights, rows=self.rows, hidden=self.hidden)

    def run(self, blend: Blend, decision: Decision | None = None) -> BlendScore:
        """Score a blend among the candidates; without a decision its best one is solved exactly."""
        weights, recipe = weights_of(self.query_set, blend)
        return self.trials.run(
            weights,
            top_photos=blend.top_photos,
            species_penalty=blend.species_penalty,
            background=blend.background,
            recipe=recipe,
            decision=decision,
        )

    def ranking(self, ranking: Ranking, background: float) -> Ranking:
        """Rankings of five against their background, as they sit, from those of all questions."""
        truth = self.query_set.truth
        assert truth is not None  # noqa: S101
        again = ranking.take(self.hidden).hiding(truth[self.hidden])
        own = ranking.take(self.rows).first(DEPTH - 1)
        both = Ranking(*(np.concatenate([getattr(p, a) for p in (own, again)]) for a in LISTS))
        return both.against_background(background)

    def answers(self, ranking: Ranking, blend: Blend) -> np.ndarray:
        """(n + m, 5) labels, as `predict` gives them."""
        return decide(self.ranking(ranking, blend.background), blend.decision)

    def precisions(self, ranking: Ranking, blend: Blend) -> np.ndarray:
        """(n + m,) average precision of each answer."""
        return average_precisions(self.answers(ranking, blend), self.truth)

    def share_of_new(self, labels: np.ndarray) -> float:
        """Weighted share of answers with somebody new in first place."""
        return float(self.weights @ (labels[:, 0] == NEW))


def build_evaluation_set(
    query_set: QuerySet, mix: Mix, test_species: np.ndarray | None = None, rows: np.ndarray | None = None
) -> EvaluationSet:
    """Set an evaluation set.

    Parameters
    ----------
    questions : Questions
        Out-of-fold.
    mix : Mix
    test_species : (n_species,) float array, optional
        Share of each species among the test photos, as predicted for them.
    rows : (n,) int array, optional
        Which questions sit, all by default; they alone make up the mix.
    """
    have, truth = query_set.gallery_photos, query_set.truth
    if have is None or truth is None:
        raise FinblendError("test photos have no known answers to be scored on")
    rows = np.arange(len(truth)) if rows is None else rows
    known = rows[truth[rows] != NEW]
    species = query_set.species.likely
    n_species = int(query_set.species.mismatch.shape[1])
    rate = mix.shares(query_set.species_names)
    hidden = known if query_set.can_hide and rate is not None and rate.any() else known[:0]
    per_species = np.bincount(species[known], minlength=n_species)
    count = np.ones(len(rows) + len(hidden))
    if rate is not None:
        count[len(rows) :] = PRIOR_PHOTOS * rate[species[hidden]] / per_species[species[hidden]]
    photos = Sample(
        gallery_photos=np.append(have[rows], np.zeros(len(hidden), dtype=have.dtype)),
        species=np.append(species[rows], species[hidden]),
        count=count,
    )
    if test_species is None and isinstance(mix.new_share, Mapping):
        # as out-of-fold, without the photos that sit twice
        test_species = np.bincount(species[rows], minlength=n_species) / len(rows)
    catalogue = Population(
        query_set.catalogue_photos, query_set.species.of_individual, test_species, query_set.species_names
    )
    weights = mix_weights(photos, catalogue, mix)
    return EvaluationSet(query_set, rows, hidden, weights, joined_species(photos, catalogue, mix))
