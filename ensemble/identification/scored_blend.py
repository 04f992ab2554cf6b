"""A tuned blend with its answers to an evaluation set. What is told of a blend is told of this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.posteriors import PosteriorModel
from ensemble.identification.prediction import predict
from ensemble.identification.rank_posterior import RankPosterior, wholly_certain_ranking
from ensemble.identification.second_stage import HOW_STAGED, KeptSecondStage
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import HOW, Setup
from ensemble.registry.left_out import how_asked
from postproc import Ranking
from postproc.ranking.scorer import BlendScore


def how_measured(blend: Blend) -> str:
    """How a blend's answers to out-of-fold photos come about."""
    return how_asked(HOW_STAGED if blend.second_stage else HOW, blend.leave_out)


@dataclass(frozen=True, kw_only=True)
class ScoredBlend:
    """A blend and its answers to the photos of an evaluation set.

    Attributes
    ----------
    setup : Setup
    blend : Blend
    ranking : Ranking
        Of all queries; what was open about the blend's score is rescored over the whole gallery.
    over_candidates : BlendScore
        What the candidates alone reach, and leave open.
    rescored : int
        Photos that were compared with the whole gallery.
    """

    setup: Setup
    blend: Blend
    ranking: Ranking
    over_candidates: BlendScore
    rescored: int

    @property
    def measured(self) -> str:
        """How its answers to out-of-fold photos came about."""
        return how_measured(self.blend)

    @cached_property
    def stage(self) -> KeptSecondStage | None:
        """The stage that is submitted: fitted to the mix that the blend was tuned for, whatever mix is asked about."""
        return stage_of(self.setup, self.blend)

    def posterior_model(self, progress: Progress | None = None) -> PosteriorModel:
        """What gives probabilities; the set-up must be in the mix that the blend was tuned for."""
        if self.stage is not None:
            return self.stage
        return posterior_model_of(self.setup.evaluation_set, self.blend, progress)

    def answers(self, evaluation_set: EvaluationSet) -> np.ndarray:
        """(n + m, 5) labels of the rows of an evaluation set of the same queries."""
        return predict(evaluation_set, self.blend, stage=self.stage, ranking=self.ranking).labels

    @cached_property
    def labels(self) -> np.ndarray:
        """(n + m, 5) answers, as they are submitted."""
        return self.answers(self.setup.evaluation_set)

    @cached_property
    def precision(self) -> np.ndarray:
        """(n + m,) average precision of each row's answers."""
        return average_precisions(self.labels, self.setup.evaluation_set.truth)

    @cached_property
    def precision_alone(self) -> np.ndarray:
        """(n + m,) average precision by rule and threshold, without a second stage."""
        if self.stage is None:
            return self.precision
        labels = predict(self.setup.evaluation_set, self.blend, ranking=self.ranking).labels
        return average_precisions(labels, self.setup.evaluation_set.truth)


def score_blend(setup: Setup, blend: Blend, progress: Progress | None = None) -> ScoredBlend:
    """Let a blend answer, at its own decision; what the candidates leave open about its score is rescored."""
    evaluation_set = setup.evaluation_set
    score = evaluation_set.score(blend, blend.decision)
    rows = np.unique(evaluation_set.row[score.is_undecided])
    query_set = evaluation_set.query_set
    ranking = rescored(query_set, blend, ranking_of(query_set, blend), rows, progress, keep=True)
    return ScoredBlend(setup=setup, blend=blend, ranking=ranking, over_candidates=score, rescored=len(rows))


def stage_of(setup: Setup, blend: Blend) -> KeptSecondStage | None:
    """The second stage of a tuned blend, fitted to the mix that it was tuned for; None where it has none."""
    if not blend.second_stage:
        return None
    evaluation_set = setup.evaluation_set if setup.mix == blend.mix else setup.evaluation_set_in(blend.mix)
    return KeptSecondStage.of(evaluation_set, blend)


def posterior_model_of(
    evaluation_set: EvaluationSet, blend: Blend, progress: Progress | None = None, ranking: Ranking | None = None
) -> PosteriorModel:
    """The second stage where the blend has one, otherwise a posterior of its lists.

    Parameters
    ----------
    evaluation_set : EvaluationSet
        In the mix that the blend was tuned for.
    blend : Blend
    progress : callable, optional
    ranking : Ranking, optional
        From `wholly_certain_ranking`, if that is known already; a second stage has no use for it.
    """
    if blend.second_stage:
        return KeptSecondStage.of(evaluation_set, blend)
    if ranking is None:
        ranking = wholly_certain_ranking(evaluation_set.query_set, blend, progress)
    return RankPosterior(evaluation_set, blend, ranking, progress)
