"""What each model contributes to a blend: left out alone, and by its Shapley value.

A coalition's value is the out-of-fold MAP@5 of the blend with the weights of the others set to 0 and its threshold
solved anew; without any source, everybody is somebody new. Shapley 1953, "A value for n-person games"; beyond eight
sources sampled by permutations, forwards and backwards (Mitchell et al. 2022, "Sampling permutations for Shapley value
estimation").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.project.result import Result
from ensemble.protocol.evaluation_set import EvaluationSet

EXACT = 8
PERMUTATIONS = 32


@dataclass(frozen=True)
class Contribution(Result):
    """One model's part in the blend's MAP@5.

    Attributes
    ----------
    left_out : float
        What the blend loses without the model.
    shapley : float
        Its Shapley value; all add up to the blend's MAP@5 less that of calling everybody new.
    error : float or None
        Standard error of a sampled Shapley value; None where it is exact.
    """

    left_out: float
    shapley: float
    error: float | None = None


def shapley(evaluation_set: EvaluationSet, blend: Blend, seed: int = 0) -> dict[str, Contribution]:
    """Contributions of every model that has weight; in-sample, like the evaluation set they are measured on."""
    names = blend.used
    known: dict[frozenset[str], float] = {frozenset(): evaluation_set.new_share}

    def value(coalition: frozenset[str]) -> float:
        if coalition not in known:
            known[coalition] = evaluation_set.score(restricted(blend, coalition)).map5
        return known[coalition]

    everybody = frozenset(names)
    left_out = {name: value(everybody) - value(everybody - {name}) for name in names}
    if len(names) <= EXACT:
        return {name: Contribution(left_out[name], exact_shapley(names, name, value)) for name in names}
    sampled = sampled_shapley(names, value, seed)
    return {name: Contribution(left_out[name], *sampled[name]) for name in names}


def restricted(blend: Blend, coalition: frozenset[str]) -> Blend:
    """The blend with the weights of all others set to 0, the rest summing to 1 again."""

    def keep(weights: dict[str, float]) -> dict[str, float]:
        total = sum(weight for name, weight in weights.items() if name in coalition)
        if total <= 0:
            return {name: float(name in coalition) / len(coalition) for name in blend.weights}
        return {name: weights.get(name, 0.0) / total if name in coalition else 0.0 for name in blend.weights}

    by_species = {species: keep(weights) for species, weights in blend.species_weights.items()}
    return replace(blend, weights=keep(blend.weights), species_weights=by_species)


def exact_shapley(names: list[str], name: str, value: Callable[[frozenset[str]], float]) -> float:
    """The mean gain of a player over all orders in which the players can come.

    Examples
    --------
    Two gloves make a pair; the left one is rare.

    >>> pairs = lambda who: float("left" in who and len(who) > 1)
    >>> [round(exact_shapley(["left", "right1", "right2"], who, pairs), 3) for who in ("left", "right1")]
    [0.667, 0.167]
    """
    others = [other for other in names if other != name]
    total = 0.0
    for size in range(len(names)):
        share = 1.0 / (len(names) * math.comb(len(others), size))
        for chosen in combinations(others, size):
            coalition = frozenset(chosen)
            total += share * (value(coalition | {name}) - value(coalition))
    return total


def sampled_shapley(
    names: list[str], value: Callable[[frozenset[str]], float], seed: int
) -> dict[str, tuple[float, float]]:
    """Shapley values and their standard errors from random orders, each taken forwards and backwards."""
    rng = np.random.default_rng(seed)
    gains = {name: np.empty(PERMUTATIONS) for name in names}
    for n in range(PERMUTATIONS):
        order = [names[i] for i in rng.permutation(len(names))]
        pair = dict.fromkeys(names, 0.0)
        for direction in (order, order[::-1]):
            coalition: frozenset[str] = frozenset()
            for name in direction:
                pair[name] += 0.5 * (value(coalition | {name}) - value(coalition))
                coalition |= {name}
        for name in names:
            gains[name][n] = pair[name]
    return {name: (float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(PERMUTATIONS))) for name, gain in gains.items()}
