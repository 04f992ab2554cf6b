"""A tuned blend as it sits its exam: ranking, second stage, answers. What is told of a blend is told of this."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, settled
from ensemble.identification.posteriors import Namer, namer_of
from ensemble.identification.second_stage import HOW_STAGED, SecondStage
from ensemble.project.cache import FEW, cached
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import Exam
from ensemble.protocol.setup import HOW, Desk
from postproc import Ranking
from postproc.ranking.scorer import Outcome

LISTED = ("individual", "score", "photo", "bound")


def how_measured(blend: Blend) -> str:
    """How a blend's answers to out-of-fold photos come about."""
    return HOW_STAGED if blend.second_stage else HOW


@dataclass(frozen=True)
class Sitting:
    """A blend and its answers to the photos of an exam.

    Attributes
    ----------
    desk : Desk
    blend : Blend
    ranking : Ranking
        Of all questions; what was open about the blend's score is settled over the whole gallery.
    among : Outcome
        What the candidates alone reach, and leave open.
    recomputed : int
        Photos that were compared with the whole gallery.
    """

    desk: Desk
    blend: Blend
    ranking: Ranking
    among: Outcome
    recomputed: int

    @property
    def measured(self) -> str:
        """How its answers to out-of-fold photos came about."""
        return how_measured(self.blend)

    @cached_property
    def stage(self) -> SecondStage | None:
        """The stage that is submitted: fitted to the mix that the blend was tuned for, whatever mix is asked about."""
        if not self.blend.second_stage:
            return None
        return SecondStage(self.desk.resit(Mix(**self.blend.mix)), self.blend, keep=True)

    def namer(self, progress: Progress | None = None) -> Namer:
        """What tells probabilities; the desk must be in the mix that the blend was tuned for."""
        return namer_of(self.desk.exam, self.blend, progress, stage=self.stage)

    def answers(self, exam: Exam) -> np.ndarray:
        """(n + m, 5) labels of the photos of an exam of the same questions."""
        return exam.answers(self.ranking, self.blend) if self.stage is None else self.stage.answers(exam)

    @cached_property
    def labels(self) -> np.ndarray:
        """(n + m, 5) answers, as they are submitted."""
        return self.answers(self.desk.exam)

    @cached_property
    def precision(self) -> np.ndarray:
        """(n + m,) average precision of each photo's answers."""
        return average_precisions(self.labels, self.desk.exam.truth)

    @cached_property
    def plain(self) -> np.ndarray:
        """(n + m,) average precision by rule and threshold, without a second stage."""
        if self.stage is None:
            return self.precision
        return self.desk.exam.precisions(self.ranking, self.blend)


def sit_blend(desk: Desk, blend: Blend, progress: Progress | None = None, known: Ranking | None = None) -> Sitting:
    """Let a blend answer, at its own decision; what the candidates leave open about its score is settled.

    Parameters
    ----------
    desk : Desk
    blend : Blend
    progress : callable, optional
    known : Ranking, optional
        Of all questions, if what is open is settled already.
    """
    exam = desk.exam
    among = exam.run(blend, blend.decision)
    still = exam.trials.least < exam.trials.most
    rows = np.unique(exam.rows[exam.trials.query[still]])
    ranking = ranking_of(exam.questions, blend)
    if len(rows):

        def whole() -> dict[str, np.ndarray]:
            found = settled(exam.questions, blend, ranking, rows, progress) if known is None else known
            own = found.take(rows)
            return {name: array for name in LISTED if (array := getattr(own, name)) is not None}

        # few numbers, but opening the whole gallery for them takes long
        kept = cached(exam.questions.parts[0].project.cache, "settled", _depends_on(exam, blend, rows), whole, keep=FEW)
        lists = {name: np.array(getattr(ranking, name)) for name in kept}
        for name, own in kept.items():
            lists[name][rows] = own
        ranking = Ranking(**lists)
    return Sitting(desk, blend, ranking, among, len(rows))


def _depends_on(exam: Exam, blend: Blend, rows: np.ndarray) -> list[Any]:
    """All that the ranking of some photos over the whole gallery depends on."""
    species = exam.questions.species
    recipe = [blend.weights, blend.species_weights, blend.top_photos, blend.species_penalty]
    parts = exam.questions.parts
    sources = [[part.name, [[name, part.made_from(name)] for name in part.sources]] for part in parts]
    operators = {name: how.as_dict() for name, how in parts[0].operators.items()}
    arrays = (rows, species.doubt, species.likely, species.of_individual)
    return [
        recipe,
        sources,
        operators,
        *(hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays),
    ]
