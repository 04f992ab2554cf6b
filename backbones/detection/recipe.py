"""How a detector is trained: everything that decides its result, beside the photos and their boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cv.errors import FinblendError


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train.

    Attributes
    ----------
    epochs : int
        In each, every photo is shown once.
    batch_size : int
    lr_body, lr_head : float
        Peak learning rates of the body and of everything else.
    weight_decay : float
    warmup : float
        Share of the steps in which the rates rise; then they fall by half a cosine to 0.
    seed : int
    """

    epochs: int = 10
    batch_size: int = 4
    lr_body: float = 4e-4
    lr_head: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("batch_size", 2, 4096),
            ("lr_body", 0, 10),
            ("lr_head", 0, 10),
            ("weight_decay", 0, 10),
            ("warmup", 0, 1),
            ("seed", 0, 2**31),
        ):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not low <= given <= high:
                raise FinblendError(f"{low} <= {name} <= {high} must hold, but got {name}={given!r}")

    def rate(self, done: float) -> float:
        """Factor on the learning rates when a share of all steps is done.

        Examples
        --------
        >>> recipe = DetectorRecipe(warmup=0.2)
        >>> [round(recipe.rate(done), 2) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if done < self.warmup:
            return done / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / max(1 - self.warmup, 1e-9)))
