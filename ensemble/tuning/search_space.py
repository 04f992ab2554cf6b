"""What a trial draws: weights, photos per individual, species penalty, background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ensemble.blend.blend import Blend
from ensemble.protocol.setup import Setup
from postproc.evidence.evidence import MAX_TOP_PHOTOS

if TYPE_CHECKING:
    import optuna


MAX_BACKGROUND = 1.5


def distributions(names: list[str]) -> dict[str, optuna.distributions.BaseDistribution]:
    """What `draw` draws from."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        **{f"factor:{name}": FloatDistribution(0.0, 1.0) for name in names},
        "top_photos": IntDistribution(1, MAX_TOP_PHOTOS),
        "species_penalty_root": FloatDistribution(0.0, 1.0),
        "background": FloatDistribution(0.0, MAX_BACKGROUND),
    }


def draw(trial: optuna.trial.BaseTrial, setup: Setup) -> Blend:
    """Turn a trial's parameters into a blend, its decision still open."""
    factors = {name: trial.suggest_float(f"factor:{name}", 0.0, 1.0) for name in setup.models}
    top_photos = trial.suggest_int("top_photos", 1, MAX_TOP_PHOTOS)
    # the third power gives small penalties room without a special case for none
    root = trial.suggest_float("species_penalty_root", 0.0, 1.0)
    background = trial.suggest_float("background", 0.0, MAX_BACKGROUND)
    return Blend(
        _normalised(factors),
        dict(setup.whitening),
        top_photos=top_photos,
        species_penalty=root**3,
        background=background,
    )


def _normalised(factors: Mapping[str, float]) -> dict[str, float]:
    """Return alpha = w^2 / sum w^2, equal where all are 0."""
    squares = {name: factor * factor for name, factor in factors.items()}
    total = sum(squares.values())
    if total < 1e-12:
        return {name: 1.0 / len(squares) for name in squares}
    return {name: square / total for name, square in squares.items()}


def point(chosen: list[str], names: list[str], penalty: float = 0.0, background: float = 1.0) -> dict[str, float]:
    """Parameters of a trial that gives the chosen models equal weights."""
    factors = {f"factor:{name}": float(name in chosen) for name in names}
    return {**factors, "top_photos": 1, "species_penalty_root": penalty ** (1 / 3), "background": background}


def weighted_point(weights: Mapping[str, float], names: list[str], background: float = 1.0) -> dict[str, float]:
    """Parameters of a trial with given weights alpha."""
    top = max(weights.values())
    factors = {f"factor:{name}": (weights.get(name, 0.0) / top) ** 0.5 for name in names}
    return {**factors, "top_photos": 1, "species_penalty_root": 0.0, "background": background}


def starting_points(names: list[str], previous: Blend | None) -> Iterator[dict[str, float]]:
    """What every study tries first: equal weights, each model alone, the last blend."""
    yield point(names, names)
    yield point(names, names, penalty=0.216)
    yield point(names, names, background=0.0)
    for name in names:
        yield point([name], names)
    if previous is not None and set(previous.weights) & set(names):
        top = max(previous.weights.get(name, 0.0) for name in names)
        if top > 0:
            factors = {f"factor:{name}": (previous.weights.get(name, 0.0) / top) ** 0.5 for name in names}
            yield {
                **factors,
                "top_photos": min(previous.top_photos, MAX_TOP_PHOTOS),
                "species_penalty_root": min(previous.species_penalty, 1.0) ** (1 / 3),
                "background": min(previous.background, MAX_BACKGROUND),
            }


def fixed(params: Mapping[str, float]) -> optuna.trial.BaseTrial:
    """A trial with given parameters, outside any study."""
    import optuna

    return optuna.trial.FixedTrial(dict(params))
