"""Paired bootstrap over the individuals of a test: photos of one animal are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL

DRAWS = 2000


def owners(answers: Sequence[str]) -> np.ndarray:
    """(n,) int: photos of one known individual share a number; each photo of a stranger has its own."""
    names = [f"{NEW_INDIVIDUAL} {n}" if name == NEW_INDIVIDUAL else name for n, name in enumerate(answers)]
    return np.unique(names, return_inverse=True)[1]


def drawn_means(values: np.ndarray, owner: np.ndarray, seed: int = 0) -> np.ndarray:
    """(DRAWS,) mean over the photos of as many individuals as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    total, photos = np.bincount(owner, weights=values), np.bincount(owner)
    times = rng.multinomial(len(photos), np.full(len(photos), 1 / len(photos)), size=DRAWS)
    return (times @ total) / (times @ photos)


def middle(draws: np.ndarray) -> list[float]:
    """The middle 95 % of draws."""
    return [float(value) for value in np.quantile(draws, [0.025, 0.975])]
