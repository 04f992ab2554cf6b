"""One `predict` for out-of-fold and test: they differ in their queries only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.project.progress import Progress
from ensemble.retrieval.query_set import QuerySet
from postproc import Decision, Ranking, decide
from postproc.calibration.posterior import posterior_order, with_new_first
from postproc.ranking.decision import cut_for_share
from postproc.ranking.ranking import DEPTH

if TYPE_CHECKING:
    from ensemble.identification.second_stage import SecondStage
from ensemble.blend.ranking import ranking_of, rescored


@dataclass(frozen=True)
class Prediction:
    """Ranked individuals and the final lists.

    Attributes
    ----------
    ranking : Ranking
        Known individuals only.
    labels : (n, 5) int32 array
        With `NEW` in its place; -1 where a list is shorter.
    recomputed : int
        Photos whose list the candidates left open: they were compared with the whole gallery.
    """

    ranking: Ranking
    labels: np.ndarray
    recomputed: int


def predict(
    query_set: QuerySet,
    blend: Blend,
    progress: Progress | None = None,
    stage: SecondStage | None = None,
    new_first: float | None = None,
) -> Prediction:
    """Name every photo; those whose list the candidates leave open are compared with the whole gallery.

    Parameters
    ----------
    questions : Questions
        With evidence for every source that has weight.
    blend : Blend
    progress : callable, optional
    stage : SecondStage, optional
        Judges the candidates of test photos instead of the blend's rule and threshold.
    new_first : float, optional
        Share of the photos that shall have somebody new in first place, in [0, 1]: moves the threshold, or with a
        stage the odds of somebody new by one factor. By default what was tuned decides.
    """
    if stage is not None:
        traits, probability = stage.of_test(query_set)
        if new_first is not None:
            probability = with_new_first(probability, new_first)
        labels, _ = posterior_order(traits.individual, probability)
        return Prediction(ranking_of(query_set, blend), labels, 0)
    ranking = ranking_of(query_set, blend)
    # the background takes one place more than the answer
    rows = np.flatnonzero(ranking.is_open(DEPTH - 1 if blend.background else DEPTH - 2))
    ranking = rescored(query_set, blend, ranking, rows, progress)
    scored, decision = ranking.against_background(blend.background), blend.decision
    if new_first is not None:
        # compared as `decide` compares: float32 scores
        decision = Decision(decision.rule, cut_for_share(scored.score[:, 0].astype(np.float32), new_first))
    return Prediction(ranking, decide(scored, decision), len(rows))
