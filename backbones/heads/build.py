"""From the recipe of a head to the head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from backbones.heads.arcface import MarginHead
from backbones.heads.library import LibraryHead
from backbones.heads.margins import checked_margin, margins_by_count
from cv.errors import FinblendError


class Head(Protocol):
    """What training asks of a head, beside being a module."""

    def cosines(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, width) embeddings to (B, classes) cosines, float32."""
        ...

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, width) embeddings and (B,) int64 labels to the mean loss, () float32."""
        ...


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class HeadRecipe:
    """How a head shall be.

    Attributes
    ----------
    sub_centers : int >= 1
        Centres of a class; the nearest counts.
    scale : float > 0
    margin : float in [0, pi/2)
        In radians; not looked at where `margin_by_count` is given.
    easy_margin : bool
        Give a margin only where the cosine is above 0.
    label_smoothing : float in [0, 1)
    margin_by_count : (scale, power, constant) or None
        Margins scale * n ** -power + constant for classes of n photos; see `margins_by_count`.
    """

    sub_centers: int = 3
    scale: float = 30.0
    margin: float = 0.3
    easy_margin: bool = False
    label_smoothing: float = 0.0
    margin_by_count: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.sub_centers, bool) or not isinstance(self.sub_centers, int) or self.sub_centers < 1:
            raise FinblendError(f"sub_centers must be an integer >= 1, but got sub_centers={self.sub_centers!r}")
        for name in ("scale", "margin", "label_smoothing"):
            if not _number(getattr(self, name)):
                raise FinblendError(f"{name} must be a finite number, but got {name}={getattr(self, name)!r}")
        if self.scale <= 0:
            raise FinblendError(f"scale > 0 must hold, but got scale={self.scale}")
        checked_margin(self.margin)
        if not isinstance(self.easy_margin, bool):
            raise FinblendError(f"easy_margin must be true or false, but got easy_margin={self.easy_margin!r}")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise FinblendError(f"0 <= label_smoothing < 1 must hold, but got label_smoothing={self.label_smoothing}")
        given = self.margin_by_count
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) != 3 or not all(map(_number, given)):
                raise FinblendError(
                    f"margin_by_count must be three numbers (scale, power, constant), but got margin_by_count={given!r}"
                )
            # JSON knows lists only; the widest margin is that of one photo, so wrong numbers show at once
            object.__setattr__(self, "margin_by_count", tuple(given))
            margins_by_count(np.array([1]), *given)


def build_head(recipe: HeadRecipe, width: int, counts: np.ndarray) -> MarginHead | LibraryHead:
    """Build the head of a recipe: the library's where it has such a one, else our own.

    Parameters
    ----------
    recipe : HeadRecipe
    width : int >= 1
        Of the embeddings.
    counts : (n_classes,) int array
        Training photos of each class; at least 1 where margins go by them.

    Returns
    -------
    MarginHead or LibraryHead
        A module that is a `Head`.

    Raises
    ------
    FinblendError
        If there are fewer than two classes, the counts make no margins, or the library is missing where it is needed.
    """
    classes = len(counts)
    if classes < 2:
        raise FinblendError(f"a head needs two classes or more to tell apart, but got classes={classes}")
    margin: float | np.ndarray = recipe.margin
    if recipe.margin_by_count is not None:
        margin = margins_by_count(counts, *recipe.margin_by_count)
    if isinstance(margin, np.ndarray) or recipe.easy_margin or recipe.label_smoothing > 0:
        return MarginHead(
            width,
            classes,
            scale=recipe.scale,
            margin=margin,
            sub_centers=recipe.sub_centers,
            easy_margin=recipe.easy_margin,
            label_smoothing=recipe.label_smoothing,
        )
    return LibraryHead(width, classes, scale=recipe.scale, margin=margin, sub_centers=recipe.sub_centers)
