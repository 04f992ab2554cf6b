"""Who proposes trials: Optuna's tree-structured Parzen estimator, or chance to compare it with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "random")
MAX_SEED = 2**32


def sampler_of(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of a name among `SAMPLERS`."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)
        return optuna.samplers.RandomSampler(seed=seed)
