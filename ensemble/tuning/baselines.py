"""Models alone, and all of them with equal weights: what a blend is measured against, in-sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.protocol.setup import Setup
from postproc.ranking.scorer import BlendScore

# what single models and equal weights are tuned over: (background, root of the species penalty)
GRID = [(background, penalty) for background in (0.0, 0.5, 1.0, 1.5) for penalty in (0.0, 0.3, 0.6)]
HOW_ALONE = "out-of-fold, each model alone with its own best threshold (in-sample), weighted to the stated mix"


@dataclass(frozen=True)
class Baseline:
    """A recipe with its own best threshold.

    Attributes
    ----------
    blend : Blend
    map5 : float
        Over the candidates.
    precision : (n + m,) float array
        Average precision of each photo of the evaluation set.
    """

    blend: Blend
    map5: float
    precision: np.ndarray


def baseline(setup: Setup, weights: Mapping[str, float]) -> Baseline:
    """Weights against the whole background, without a species penalty, as studies try them first."""
    blend, score = setup.evaluation_set.decided(Blend(dict(weights), dict(setup.whitening), background=1.0))
    return Baseline(blend, score.map5, score.precision)


def single_models(setup: Setup) -> dict[str, Baseline]:
    """Every model of the setup alone."""
    return {name: baseline(setup, {name: 1.0}) for name in setup.models}


def equal_weights(setup: Setup) -> Baseline:
    """All models of the setup with the same weight."""
    return baseline(setup, {name: 1 / len(setup.models) for name in setup.models})


def tuned_baselines(setup: Setup) -> tuple[Blend, Blend]:
    """The best single model and equal weights, each with background and penalty from the same grid."""
    names = list(setup.models)

    def best_of(weightings: list[dict[str, float]]) -> Blend:
        scored = [pair for weights in weightings for pair in _over_grid(setup, weights)]
        return max(scored, key=lambda pair: pair[1].map5)[0]

    single = best_of([{other: float(other == name) for other in names} for name in names])
    return single, best_of([dict.fromkeys(names, 1.0 / len(names))])


def _over_grid(setup: Setup, weights: Mapping[str, float]) -> list[tuple[Blend, BlendScore]]:
    """Weights at every point of the grid, decided; the background changes no order, so each penalty is ranked once."""
    evaluation_set = setup.evaluation_set
    found = {}
    for root in dict.fromkeys(root for _, root in GRID):
        blend = Blend(dict(weights), dict(setup.whitening), species_penalty=root**3)
        ranking = evaluation_set.ranking(blend)
        for background in dict.fromkeys(background for background, _ in GRID):
            score = evaluation_set.scorer.score_ranking(ranking, background)
            found[background, root] = replace(blend, background=background).deciding(score.decision), score
    return [found[at] for at in GRID]
