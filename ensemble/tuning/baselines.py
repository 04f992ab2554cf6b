"""Models alone, and all of them with equal weights: what a blend is measured against, in-sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.protocol.certify import decided
from ensemble.protocol.setup import Desk

HOW_ALONE = "out-of-fold, each model alone with its own best threshold (in-sample), weighted to the stated mix"


@dataclass(frozen=True)
class Solo:
    """A recipe with its own best threshold.

    Attributes
    ----------
    blend : Blend
    map5 : float
        Over the candidates.
    precision : (n + m,) float array
        Average precision of each photo of the exam.
    """

    blend: Blend
    map5: float
    precision: np.ndarray


def solo(desk: Desk, weights: Mapping[str, float]) -> Solo:
    """Weights against the whole background, without a species penalty, as studies try them first."""
    blend, outcome = decided(desk.exam, Blend(dict(weights), dict(desk.whitening), background=1.0))
    return Solo(blend, outcome.map5, desk.exam.trials.precision.copy())


def each_alone(desk: Desk) -> dict[str, Solo]:
    """Every source of the desk alone."""
    return {name: solo(desk, {name: 1.0}) for name in desk.sources}


def equal_weights(desk: Desk) -> Solo:
    """All sources of the desk with the same weight."""
    return solo(desk, {name: 1 / len(desk.sources) for name in desk.sources})


# what single models and equal weights are tuned over: (background, root of the species penalty)
GRID = [(background, penalty) for background in (0.0, 0.5, 1.0, 1.5) for penalty in (0.0, 0.3, 0.6)]


def baselines(desk: Desk) -> tuple[Blend, Blend]:
    """The best single model and equal weights, each with background and penalty from the same grid."""
    names = list(desk.sources)

    def best_of(weightings: list[dict[str, float]]) -> Blend:
        found = [
            decided(desk.exam, Blend(weights, dict(desk.whitening), 1, root**3, background))
            for weights in weightings
            for background, root in GRID
        ]
        return max(found, key=lambda one: one[1].map5)[0]

    single = best_of([{other: float(other == name) for other in names} for name in names])
    return single, best_of([dict.fromkeys(names, 1.0 / len(names))])
