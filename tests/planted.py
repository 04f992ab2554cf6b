"""Projects that several test files build: models of a small catalogue, and worlds in which the truth is planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Small

import ensemble.parts
import postproc.species
from ensemble import Blend, register
from postproc import NEW, Decision
from postproc.trials import Outcome

FOLDS = range(5)
EVERYTHING = 1000  # more neighbours than any gallery here has photos


Score = Callable[[dict[str, float]], float]


class Told:
    """An exam whose scores are told by a function of the weights; a fifth of its photos are strangers."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.asked: list[Blend] = []
        self.weights, self.truth = np.full(5, 0.2), np.array([NEW, 0, 1, 2, 3])

    def run(self, blend: Blend) -> Outcome:
        self.asked.append(blend)
        found = self.score(blend.weights)
        return Outcome(found, found, found, 0.0, Decision("A", 0.0))


def add(
    project: Path,
    small: Small,
    name: str,
    seed: int,
    noise: float = 2.0,
    views: Sequence[str] = ("orig",),
    width: int = 24,
    replace: bool = False,
    **seen: Any,
) -> None:
    """Register a network of the small catalogue; frozen unless `seen` says otherwise."""
    spaces = [small.noisy(100 * seed + n, noise) for n in range(len(views))]
    train, test = (
        {view: space[split][:, :width] for view, space in zip(views, spaces, strict=True)} for split in (0, 1)
    )
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(project, name, replace=replace, **(seen or {"frozen": True}), **given)


def add_trained(project: Path, small: Small, name: str, seed: int, **options: Any) -> None:
    """Register one network a fold, each with a space of its own."""
    for fold in FOLDS:
        add(project, small, name, seed + fold, fold=fold, **options)


def few_candidates(patch: pytest.MonkeyPatch, nearest: int = 2) -> None:
    """Let evidence hold the `nearest` photos of each search only; as many vote on species, whatever the number."""
    patch.setattr(ensemble.parts, "NEAREST", nearest)
    patch.setattr(ensemble.parts, "NEAREST_TOGETHER", nearest)
    patch.setattr(postproc.species, "VOTERS", 2)
