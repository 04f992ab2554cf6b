"""A tuned blend as it sits its exam: ranking, second stage, answers. What is told of a blend is told of this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble.blend import Blend
from ensemble.desk import HOW, Desk
from ensemble.exam import Exam, settle_open
from ensemble.naming import Namer, namer_of
from ensemble.parts import Progress
from ensemble.prediction import ranking_of
from ensemble.second_stage import HOW_STAGED, SecondStage
from postproc import Ranking
from postproc.trials import Outcome


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
        return HOW_STAGED if self.blend.second_stage else HOW

    @cached_property
    def stage(self) -> SecondStage | None:
        """The stage that is submitted: fitted to the mix that the blend was tuned for, whatever mix is asked about."""
        return SecondStage(self.desk.resit(Mix(**self.blend.mix)), self.blend) if self.blend.second_stage else None

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


def sit_blend(desk: Desk, blend: Blend, progress: Progress | None = None) -> Sitting:
    """Let a blend answer, at its own decision; what the candidates leave open about its score is settled."""
    exam = desk.exam
    among = exam.run(blend, blend.decision)
    still = exam.trials.least < exam.trials.most
    ranking = settle_open(exam, blend, ranking_of(exam.questions, blend), still, progress)
    return Sitting(desk, blend, ranking, among, len(np.unique(exam.trials.query[still])))
