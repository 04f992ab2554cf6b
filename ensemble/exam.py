"""The exam a blend sits: out-of-fold photos in the mix that test photos are expected to have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Catalogued, Mix, Photos, mix_weights
from ensemble.blend import Blend
from ensemble.prediction import ranking_of
from ensemble.questions import Questions
from postproc import NEW, Decision, Ranking, decide, sweep
from postproc.decision import RULES
from postproc.rank import DEPTH

# Strangers that a species' single-photo individuals simulate are few and may be of other species than test's; known
# photos whose individual is hidden make up for this many photos of each species.
PRIOR_PHOTOS = 50.0


@dataclass(frozen=True)
class Exam:
    """Out-of-fold photos with the weight each has in the stated mix.

    Where no network was trained on the catalogue, each known photo sits twice: as itself, and as a stranger whose
    individual is hidden from the gallery.

    Attributes
    ----------
    questions : Questions
    hidden : (m,) int array
        Questions that sit again with their individual hidden.
    weights : (n + m,) float64 array
        Summing to 1: first the questions as they are, then the hidden ones.
    """

    questions: Questions
    hidden: np.ndarray
    weights: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(n + m,) int32 right answers."""
        own = self.questions.truth
        assert own is not None  # noqa: S101 - checked by `sit`
        return np.append(own, np.full(len(self.hidden), NEW, dtype=np.int32))

    def ranking(self, ranking: Ranking, background: float) -> Ranking:
        """(n + m) rankings of five against their background, from those of the questions."""
        truth = self.questions.truth
        assert truth is not None  # noqa: S101
        rows = Ranking(*(a[self.hidden] for a in (ranking.individual, ranking.score, ranking.photo)))
        parts = (ranking.first(DEPTH - 1), rows.hiding(truth[self.hidden]))
        both = Ranking(*(np.concatenate([getattr(p, a) for p in parts]) for a in ("individual", "score", "photo")))
        return both.against_background(background)

    def best_decision(self, ranking: Ranking, background: float) -> tuple[Decision, float]:
        """The rule and threshold with the highest MAP@5, exactly; in-sample by construction."""
        sat = self.ranking(ranking, background)
        return max((sweep(sat, self.truth, self.weights, rule) for rule in RULES), key=lambda found: found[1])

    def answers(self, ranking: Ranking, blend: Blend) -> np.ndarray:
        """(n + m, 5) labels, as `predict` gives them."""
        return decide(self.ranking(ranking, blend.background), blend.decision)

    def precisions(self, ranking: Ranking, blend: Blend) -> np.ndarray:
        """(n + m,) average precision of each answer."""
        return average_precisions(self.answers(ranking, blend), self.truth)

    def share_of_new(self, ranking: Ranking, blend: Blend) -> float:
        """Weighted share of answers with somebody new in first place."""
        return float(self.weights @ (self.answers(ranking, blend)[:, 0] == NEW))


def sit(questions: Questions, mix: Mix, test_species: np.ndarray | None = None) -> Exam:
    """Set an exam.

    Parameters
    ----------
    questions : Questions
        Out-of-fold.
    mix : Mix
    test_species : (n_species,) float array, optional
        Share of each species among the test photos, as predicted for them.
    """
    have, truth = questions.gallery_photos, questions.truth
    if have is None or truth is None:
        raise FinblendError("test photos have no known answers to be scored on")
    known = np.flatnonzero(truth != NEW)
    hidden = known if questions.can_hide and mix.new_share else known[:0]
    n_species = int(questions.doubt.shape[1])
    per_species = np.bincount(questions.species[known], minlength=n_species)
    count = np.ones(len(truth) + len(hidden))
    if len(hidden):
        count[len(truth) :] = PRIOR_PHOTOS * (mix.new_share or 0.0) / per_species[questions.species[hidden]]
    photos = Photos(
        gallery_photos=np.append(have, np.zeros(len(hidden), dtype=have.dtype)),
        species=np.append(questions.species, questions.species[hidden]),
        count=count,
    )
    catalogue = Catalogued(questions.catalogue_photos, questions.species_of_individual, test_species)
    return Exam(questions, hidden, mix_weights(photos, catalogue, mix))


def decided(exam: Exam, blend: Blend) -> tuple[Blend, float]:
    """Give a blend its best rule and threshold on the exam, and the score they reach there."""
    ranking = ranking_of(exam.questions, blend)
    decision, map5 = exam.best_decision(ranking, blend.background)
    return replace(blend, rule=decision.rule, threshold=decision.threshold), map5
