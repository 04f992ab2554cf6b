"""Who proposes trials."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cv.errors import FinblendError
from postproc.ranking.prune import MAX_TOP_PHOTOS

if TYPE_CHECKING:
    import optuna
from ensemble.tuning.search_space import MAX_BACKGROUND

SAMPLERS = ("tpe", "cmaes", "gp", "random")


MAX_SEED = 2**32


def proposals(
    study: optuna.Study, starts: list[dict[str, float]], trials: int, sampler: str, seed: int, scores: list[float]
) -> Iterator[dict[str, float] | None]:
    """What to try next; None leaves it to the study's own sampler."""
    yield from starts
    left = trials - len(starts)
    if sampler != "cmaes":
        yield from [None] * left
        return
    yield from _cmaes(study, left, seed, scores)


def _cmaes(study: optuna.Study, trials: int, seed: int, scores: list[float]) -> Iterator[dict[str, float]]:
    """CMA-ES around the best trial so far. Optuna's own sampler restores its state by unpickling, so it is not used."""
    try:
        from cmaes import CMA
    except ImportError:
        raise FinblendError("--sampler cmaes needs the package cmaes: pip install 'finblend[cmaes]'") from None
    best = study.best_trial.params
    names = list(best)
    widest = {"top_photos": MAX_TOP_PHOTOS, "background": MAX_BACKGROUND}
    scale = np.array([widest.get(name, 1.0) for name in names])
    low = np.array([1.0 if name == "top_photos" else 0.0 for name in names])
    bounds = np.stack([low / scale, np.ones(len(names))], axis=1)
    mean = np.clip(np.array([best[name] for name in names]) / scale, bounds[:, 0], bounds[:, 1])
    optimiser = CMA(mean=mean, sigma=0.2, bounds=bounds, seed=(seed + len(study.trials)) % MAX_SEED)
    told: list[tuple[np.ndarray, float]] = []
    for _ in range(trials):
        point = optimiser.ask()
        params = dict(zip(names, (point * scale).tolist(), strict=True))
        params["top_photos"] = round(params["top_photos"])
        yield params
        told.append((point, -scores[-1]))
        if len(told) == optimiser.population_size:
            optimiser.tell(told)
            told = []


def sampler_of(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler; CMA-ES is driven by `proposals` and needs none."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)
        if name == "gp":
            try:
                import torch  # noqa: F401
            except ImportError as error:
                raise FinblendError(
                    f"--sampler gp needs the package {error.name}: pip install 'finblend[gp]'"
                ) from None
            return optuna.samplers.GPSampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)
