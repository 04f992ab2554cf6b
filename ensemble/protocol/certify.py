"""A blend's score with nothing left open: what the candidates leave undecided is rescored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, settled
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import Exam
from postproc import Ranking
from postproc.ranking.scorer import Outcome


def decided(exam: Exam, blend: Blend) -> tuple[Blend, Outcome]:
    """Give a blend its best rule and threshold on the exam, among the candidates, and what they reach there."""
    outcome = exam.run(blend)
    return replace(blend, rule=outcome.decision.rule, threshold=outcome.decision.threshold), outcome


def certified(exam: Exam, blend: Blend, progress: Progress | None = None) -> tuple[Blend, Ranking, Outcome, int]:
    """Settle what is open about a blend's score and solve its decision again, until nothing is open.

    Returns
    -------
    blend : Blend
        With its best decision.
    ranking : Ranking
        Of all questions.
    outcome : Outcome
        Its `least` and `most` are its `map5`.
    recomputed : int
        Photos that were compared with the whole gallery.
    """
    ranking = ranking_of(exam.questions, blend)
    done = np.zeros(len(exam.questions.images), dtype=bool)
    trials = exam.trials
    while True:
        outcome = trials.judge(ranking.take(exam.rows), blend.background)
        still = (trials.least < trials.most) & ~done[exam.rows[trials.query]]
        if not still.any():
            found = replace(blend, rule=outcome.decision.rule, threshold=outcome.decision.threshold)
            return found, ranking, outcome, int(done.sum())
        ranking = settle_open(exam, blend, ranking, still, progress)
        done[exam.rows[trials.query[still]]] = True


def settle_open(
    exam: Exam, blend: Blend, ranking: Ranking, still: np.ndarray, progress: Progress | None = None
) -> Ranking:
    """The ranking with some photos of the exam, given as a mask, recomputed over the whole gallery."""
    return settled(exam.questions, blend, ranking, np.unique(exam.rows[exam.trials.query[still]]), progress)
