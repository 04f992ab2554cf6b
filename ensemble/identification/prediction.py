"""The one predictor: the same function names out-of-fold and test photos, by rule and threshold or second stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.posteriors import PosteriorModel
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.retrieval.query_set import QuerySet
from postproc import Decision, Ranking, decide
from postproc.calibration.posterior import posterior_order, with_new_first
from postproc.ranking.decision import cut_for_share
from postproc.ranking.ranking import DEPTH


@dataclass(frozen=True)
class Prediction:
    """The final lists.

    Attributes
    ----------
    labels : (n, 5) int32 array
        With `NEW` in its place; -1 where a list is shorter.
    rescored : int
        Photos whose list the candidates left open: they were compared with the whole gallery.
    """

    labels: np.ndarray
    rescored: int = 0


def predict(
    photos: EvaluationSet | QuerySet,
    blend: Blend,
    *,
    stage: PosteriorModel | None = None,
    ranking: Ranking | None = None,
    new_first: float | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Name every photo.

    Parameters
    ----------
    photos : EvaluationSet or QuerySet
        With evidence for every model that has weight; of an evaluation set each row is named.
    blend : Blend
    stage : PosteriorModel, optional
        Weighs the candidates instead of the blend's rule and threshold: names by falling probability, which maximises
        the expected MAP@5.
    ranking : Ranking, optional
        Of all queries by the blend, if it is known; by default it is made, and what it leaves open is rescored.
    new_first : float, optional
        Share of the photos that shall have somebody new in first place, in [0, 1]: moves the threshold, or with a
        stage the odds of somebody new by one factor. By default what was tuned decides.
    progress : callable, optional
    """
    if stage is not None:
        posteriors = stage.posteriors(photos)
        probability = posteriors.probability
        if new_first is not None:
            probability = with_new_first(probability, new_first)
        return Prediction(posterior_order(posteriors.individual, probability)[0])
    n_rescored = 0
    if ranking is None:
        query_set = photos.query_set if isinstance(photos, EvaluationSet) else photos
        ranking, n_rescored = certain_ranking(query_set, blend, progress)
    lists, decision = photos.lists(ranking, blend.background), blend.decision
    if new_first is not None:
        # compared as `decide` compares: float32 scores
        decision = Decision(decision.rule, cut_for_share(lists.score[:, 0].astype(np.float32), new_first))
    return Prediction(decide(lists, decision), n_rescored)


def certain_ranking(query_set: QuerySet, blend: Blend, progress: Progress | None = None) -> tuple[Ranking, int]:
    """A ranking whose answers nothing outside the candidates can change, and how many photos were rescored for it."""
    ranking = ranking_of(query_set, blend)
    # the background takes one place more than the answer
    rows = np.flatnonzero(ranking.is_open(DEPTH - 1 if blend.background else DEPTH - 2))
    return rescored(query_set, blend, ranking, rows, progress), len(rows)
