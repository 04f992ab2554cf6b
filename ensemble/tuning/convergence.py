"""When more trials stop helping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble.project.result import Result

if TYPE_CHECKING:
    import optuna

# more trials have stopped helping once all that follow gain less than this
GAIN = 0.0005


@dataclass(frozen=True)
class Convergence(Result):
    """After which trial, from 1, all later ones together gained less than `gain`; of how many trials."""

    trial: int
    gain: float
    trials: int


def convergence(trials: Sequence[optuna.trial.FrozenTrial]) -> Convergence:
    """When more trials stopped helping."""
    scores = [trial.value or 0.0 for trial in sorted(trials, key=lambda trial: trial.number)]
    return Convergence(converged_after(scores), GAIN, len(scores))


def converged_after(scores: Sequence[float]) -> int:
    """The trial, from 1, after which all later ones together gained less than `GAIN`.

    >>> converged_after([0.5, 0.7, 0.6, 0.7004])
    2
    """
    best = max(scores)
    return next(n for n, score in enumerate(scores, start=1) if score > best - GAIN)
