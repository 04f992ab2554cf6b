"""A blend's score with nothing left open: what the candidates leave undecided is rescored over the whole gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from postproc import Ranking
from postproc.ranking.scorer import BlendScore


@dataclass(frozen=True)
class Certified:
    """A blend with a score that nothing outside its candidates can change.

    Attributes
    ----------
    blend : Blend
        With its best decision.
    ranking : Ranking
        Of all queries.
    score : BlendScore
        Its `lower` and `upper` are its `map5`.
    rescored : int
        Photos that were compared with the whole gallery.
    """

    blend: Blend
    ranking: Ranking
    score: BlendScore
    rescored: int


def certify(
    evaluation_set: EvaluationSet, blend: Blend, progress: Progress | None = None, *, keep: bool = False
) -> Certified:
    """Rescore what is open about a blend's score and solve its decision again, until nothing is open.

    With `keep`, as of `rescored`: for blends that are written, not for those that are tried.
    """
    query_set = evaluation_set.query_set
    ranking = ranking_of(query_set, blend)
    is_rescored = np.zeros(len(query_set.images), dtype=bool)
    while True:
        score = evaluation_set.score_ranking(ranking, blend)
        is_open = score.is_undecided & ~is_rescored[evaluation_set.row]
        if not is_open.any():
            return Certified(blend.deciding(score.decision), ranking, score, int(is_rescored.sum()))
        rows = np.unique(evaluation_set.row[is_open])
        ranking = rescored(query_set, blend, ranking, rows, progress, keep=keep)
        is_rescored[rows] = True
