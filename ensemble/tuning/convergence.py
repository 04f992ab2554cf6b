"""When more trials stop helping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

# more trials have stopped helping once all that follow gain less than this
GAIN = 0.0005


def enough(trials: list[optuna.trial.FrozenTrial]) -> dict[str, Any]:
    """After which trial all later ones together gained less than `GAIN`: when more trials stopped helping."""
    values = [trial.value or 0.0 for trial in sorted(trials, key=lambda trial: trial.number)]
    return {"trial": when_enough(values), "gain": GAIN, "trials": len(values)}


def when_enough(scores: Sequence[float]) -> int:
    """The trial, from 1, after which all later ones together gained less than `GAIN`.

    >>> when_enough([0.5, 0.7, 0.6, 0.7004])
    2
    """
    best = max(scores)
    return next(n for n, value in enumerate(scores, start=1) if value > best - GAIN)
