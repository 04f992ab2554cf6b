"""The recipe of a training run: everything that decides its result, beside the photos and their labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backbones.heads import HeadRecipe
from backbones.training.augment import Augment
from cv.errors import FinblendError


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    epochs : int
        As many draws of photos as there are photos, each.
    batch_size : int
        Photos a step and device.
    lr_body, lr_head : float
        Peak learning rates of the pretrained body and of everything else.
    weight_decay : float
    warmup : float
        Share of the steps in which the learning rate rises; then it falls by a cosine to 0.
    ema : float
        Decay of the averaged weights, 0: none.
    share_power : float
        An individual with n photos is drawn in proportion to n^(1 - share_power): 0 every photo alike, 1 every
        individual alike.
    species_weight : float
        Weight of the species head's loss; 0 for none.
    seed : int
    local : bool
        A head for local features trains along, which leaves the network as it would be without.
    head : HeadRecipe
    augment : Augment
    """

    epochs: int = 20
    batch_size: int = 32
    lr_body: float = 3e-4
    lr_head: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    ema: float = 0.0
    share_power: float = 0.5
    species_weight: float = 0.1
    seed: int = 0
    local: bool = False
    head: HeadRecipe = field(default_factory=HeadRecipe)
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("batch_size", 2, 65_536),
            ("lr_body", 0, 10),
            ("lr_head", 0, 10),
            ("weight_decay", 0, 10),
            ("warmup", 0, 1),
            ("ema", 0, 0.999999),
            ("share_power", 0, 1),
            ("species_weight", 0, 1000),
            ("seed", 0, 2**31),
        ):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not low <= given <= high:
                raise FinblendError(f"{low} <= {name} <= {high} must hold, but got {name}={given!r}")
            if name in ("epochs", "batch_size", "seed") and not isinstance(given, int):
                raise FinblendError(f"{name} must be a whole number, but got {name}={given}")
        if not isinstance(self.local, bool):
            raise FinblendError(f"local must be true or false, but got {self.local!r}")

    def rate(self, step: int, steps: int) -> float:
        """Factor on the learning rates at a step: a linear rise, then half a cosine.

        Examples
        --------
        >>> recipe = Recipe(warmup=0.2)
        >>> [round(recipe.rate(step, 10), 2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
        """
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))


def recipe_from(head: Mapping[str, Any], augment: Mapping[str, Any], rest: Mapping[str, Any]) -> Recipe:
    """Make a recipe from plain values."""
    return Recipe(head=HeadRecipe(**head), augment=Augment(**augment), **rest)
