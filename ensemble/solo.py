"""Models alone, and all of them with equal weights: what a blend is measured against, in-sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble.blend import Blend
from ensemble.desk import Desk
from ensemble.exam import decided

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
