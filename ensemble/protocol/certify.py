"""A blend's score with nothing left open: what the candidates leave undecided is rescored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from postproc import Ranking
from postproc.ranking.scorer import BlendScore


def decided(evaluation_set: EvaluationSet, blend: Blend) -> tuple[Blend, BlendScore]:
    """Give a blend its best rule and threshold, among the candidates, and tell what they reach."""
    outcome = evaluation_set.run(blend)
    return replace(blend, rule=outcome.decision.rule, threshold=outcome.decision.threshold), outcome


def certified(
    evaluation_set: EvaluationSet, blend: Blend, progress: Progress | None = None
) -> tuple[Blend, Ranking, BlendScore, int]:
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
    ranking = ranking_of(evaluation_set.query_set, blend)
    done = np.zeros(len(evaluation_set.query_set.images), dtype=bool)
    trials = evaluation_set.trials
    while True:
        outcome = trials.judge(ranking.take(evaluation_set.rows), blend.background)
        still = (trials.least < trials.most) & ~done[evaluation_set.rows[trials.query]]
        if not still.any():
            found = replace(blend, rule=outcome.decision.rule, threshold=outcome.decision.threshold)
            return found, ranking, outcome, int(done.sum())
        ranking = rescore_open(evaluation_set, blend, ranking, still, progress)
        done[evaluation_set.rows[trials.query[still]]] = True


def rescore_open(
    evaluation_set: EvaluationSet, blend: Blend, ranking: Ranking, still: np.ndarray, progress: Progress | None = None
) -> Ranking:
    """The ranking with some photos of the evaluation set, given as a mask, recomputed over the whole gallery."""
    return rescored(
        evaluation_set.query_set,
        blend,
        ranking,
        np.unique(evaluation_set.rows[evaluation_set.trials.query[still]]),
        progress,
    )
