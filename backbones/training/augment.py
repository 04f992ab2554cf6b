"""Augmentations of a training photo; everything drawn comes from the generator that is handed in."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from backbones.vision import load
from cv.errors import FinblendError

SQUARES_PER_SIDE = 8


@dataclass(frozen=True)
class Augment:
    """How far a photo may be changed; 0 switches a change off.

    Attributes
    ----------
    rotate : float
        Degrees either way, 0 to 180.
    rotate_share : float
        Share of the photos that are rotated.
    flip : float
        Share that are mirrored.
    hue : float
        Shift either way as a share of the colour circle, 0 to 0.5.
    saturation, value, contrast : float
        Factors within 1 - x and 1 + x, 0 to 1.
    brightness : float
        Added either way, as a share of white, 0 to 1.
    cutout : int
        Grey squares, each an eighth of the side.
    jitter : float
        Each edge of a box moves by up to this share of the box.
    """

    rotate: float = 25.0
    rotate_share: float = 0.5
    flip: float = 0.5
    hue: float = 0.2
    saturation: float = 0.3
    value: float = 0.2
    contrast: float = 0.2
    brightness: float = 0.2
    cutout: int = 0
    jitter: float = 0.05

    def __post_init__(self) -> None:
        highest = {"rotate": 180.0, "hue": 0.5, "cutout": SQUARES_PER_SIDE**2, "jitter": 0.5}
        for field in fields(self):
            given, most = getattr(self, field.name), highest.get(field.name, 1.0)
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= most:
                raise FinblendError(f"0 <= {field.name} <= {most:g} must hold, but got {field.name}={given!r}")
        if not isinstance(self.cutout, int):
            raise FinblendError(f"cutout must be a whole number, but got cutout={self.cutout}")


def augmented(pixels: np.ndarray, augment: Augment, rng: np.random.Generator) -> Tensor:
    """Change a photo at random.

    Parameters
    ----------
    pixels : (height, width, 3) uint8 array
    augment : Augment
    rng : numpy.random.Generator
        As many numbers are drawn whatever is switched on, so that one switch does not change the others' draws.

    Returns
    -------
    (height, width, 3) uint8 Tensor
    """
    change = load("torchvision.transforms.v2.functional")
    draw = dict(zip(_DRAWS, rng.random(len(_DRAWS)).tolist(), strict=True))
    corners = rng.random((SQUARES_PER_SIDE**2, 2))

    def around(name: str, middle: float, reach: float) -> float:
        return float(middle + reach * (2 * draw[name] - 1))

    photo = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    if draw["flip"] < augment.flip:
        photo = photo.flip(-1)
    if draw["rotates"] < augment.rotate_share and augment.rotate:
        grey = photo.float().mean(dim=(1, 2)).tolist()
        photo = change.rotate(
            photo, around("rotate", 0, augment.rotate), interpolation=change.InterpolationMode.BILINEAR, fill=grey
        )
    if augment.hue:
        photo = change.adjust_hue(photo, around("hue", 0, augment.hue))
    if augment.saturation:
        photo = change.adjust_saturation(photo, around("saturation", 1, augment.saturation))
    if augment.contrast:
        photo = change.adjust_contrast(photo, around("contrast", 1, augment.contrast))
    # torchvision's brightness is a factor: the value of HSV. What is added is brightness here.
    factor, added = around("value", 1, augment.value), around("brightness", 0, 255 * augment.brightness)
    if augment.value or augment.brightness:
        photo = photo.float().mul_(factor).add_(added).clamp_(0, 255).to(torch.uint8)
    # a copy: where nothing was changed so far, this still is the caller's photo
    photo = photo.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    high, wide = photo.shape[0] // SQUARES_PER_SIDE, photo.shape[1] // SQUARES_PER_SIDE
    for down, across in corners[: augment.cutout]:
        top, left = int(down * (photo.shape[0] - high + 1)), int(across * (photo.shape[1] - wide + 1))
        photo[top : top + high, left : left + wide] = 128
    return photo


_DRAWS = ("flip", "rotates", "rotate", "hue", "saturation", "value", "contrast", "brightness")
