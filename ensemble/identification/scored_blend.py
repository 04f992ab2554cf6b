"""A tuned blend with its answers to an evaluation set. What is told of a blend is told of this."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.posteriors import PosteriorModel, posterior_model_of
from ensemble.identification.second_stage import HOW_STAGED, SecondStage
from ensemble.project.cache import FEW, cached
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import HOW, Setup
from postproc import Ranking
from postproc.ranking.scorer import BlendScore

# arrays of a ranking, and the names that they are kept under
LISTED = {"individual": "individual", "score": "score", "photo": "photo", "unseen_upper_bound": "bound"}


def how_measured(blend: Blend) -> str:
    """How a blend's answers to out-of-fold photos come about."""
    return HOW_STAGED if blend.second_stage else HOW


@dataclass(frozen=True)
class ScoredBlend:
    """A blend and its answers to the photos of an evaluation set.

    Attributes
    ----------
    setup : Setup
    blend : Blend
    ranking : Ranking
        Of all questions; what was open about the blend's score is settled over the whole gallery.
    among : Outcome
        What the candidates alone reach, and leave open.
    recomputed : int
        Photos that were compared with the whole gallery.
    """

    setup: Setup
    blend: Blend
    ranking: Ranking
    among: BlendScore
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
        return SecondStage(self.setup.in_mix(Mix(**self.blend.mix)), self.blend, keep=True)

    def posterior_model(self, progress: Progress | None = None) -> PosteriorModel:
        """What tells probabilities; the setup must be in the mix that the blend was tuned for."""
        return posterior_model_of(self.setup.evaluation_set, self.blend, progress, stage=self.stage)

    def answers(self, evaluation_set: EvaluationSet) -> np.ndarray:
        """(n + m, 5) labels of the photos of an evaluation set of the same questions."""
        return (
            evaluation_set.answers(self.ranking, self.blend)
            if self.stage is None
            else self.stage.answers(evaluation_set)
        )

    @cached_property
    def labels(self) -> np.ndarray:
        """(n + m, 5) answers, as they are submitted."""
        return self.answers(self.setup.evaluation_set)

    @cached_property
    def precision(self) -> np.ndarray:
        """(n + m,) average precision of each photo's answers."""
        return average_precisions(self.labels, self.setup.evaluation_set.truth)

    @cached_property
    def plain(self) -> np.ndarray:
        """(n + m,) average precision by rule and threshold, without a second stage."""
        if self.stage is None:
            return self.precision
        return self.setup.evaluation_set.precisions(self.ranking, self.blend)


def score_blend(
    setup: Setup, blend: Blend, progress: Progress | None = None, known: Ranking | None = None
) -> ScoredBlend:
    """Let a blend answer, at its own decision; what the candidates leave open about its score is settled.

    Parameters
    ----------
    setup : Setup
    blend : Blend
    progress : callable, optional
    known : Ranking, optional
        Of all questions, if what is open is settled already.
    """
    evaluation_set = setup.evaluation_set
    among = evaluation_set.run(blend, blend.decision)
    still = evaluation_set.trials.least < evaluation_set.trials.most
    rows = np.unique(evaluation_set.rows[evaluation_set.trials.query[still]])
    ranking = ranking_of(evaluation_set.query_set, blend)
    if len(rows):

        def whole() -> dict[str, np.ndarray]:
            found = rescored(evaluation_set.query_set, blend, ranking, rows, progress) if known is None else known
            own = found.take(rows)
            return {name: array for field, name in LISTED.items() if (array := getattr(own, field)) is not None}

        # few numbers, but opening the whole gallery for them takes long
        kept = cached(
            evaluation_set.query_set.tasks[0].project.cache,
            "settled",
            _depends_on(evaluation_set, blend, rows),
            whole,
            keep=FEW,
        )
        lists = {field: np.array(getattr(ranking, field)) for field, name in LISTED.items() if name in kept}
        for field, array in lists.items():
            array[rows] = kept[LISTED[field]]
        ranking = Ranking(**lists)
    return ScoredBlend(setup, blend, ranking, among, len(rows))


def _depends_on(evaluation_set: EvaluationSet, blend: Blend, rows: np.ndarray) -> list[Any]:
    """All that the ranking of some photos over the whole gallery depends on."""
    species = evaluation_set.query_set.species
    recipe = [blend.weights, blend.species_weights, blend.top_photos, blend.species_penalty]
    tasks = evaluation_set.query_set.tasks
    models = [[task.name, [[name, task.made_from(name)] for name in task.models]] for task in tasks]
    operators = {name: how.as_dict() for name, how in tasks[0].operators.items()}
    arrays = (rows, species.mismatch, species.likely, species.of_individual)
    return [
        recipe,
        models,
        operators,
        *(hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays),
    ]
