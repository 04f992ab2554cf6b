"""Photos fitted into the frame a network looks through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.photos.boxes import Box, PixelBox, jittered, reaches_outside
from backbones.photos.decode import GREY, decode
from cv.errors import FinblendError, shown

RESIZES = ("squash", "pad", "crop")
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# a photo may be decoded smaller as long as this many of its pixels make one of the frame's
_PIXELS_EACH = 2.0
# Pillow averages blocks of pixels first where that leaves this many for one; more than 3 look no better
_GAP = 3.0

# an area of an image, in its pixels
Area = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """What a network looks through.

    Attributes
    ----------
    height, width : int
        In pixels.
    resize : {"squash", "pad", "crop"}
        `squash` stretches a photo to the frame, `pad` shows all of it between margins, `crop` fills the frame with its
        middle.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}
        All but `nearest` look at every pixel.
    fill : tuple of int
        Red, green and blue of margins, and of what lies behind transparent pixels.
    """

    height: int
    width: int
    resize: str = "squash"
    interpolation: str = "bicubic"
    fill: tuple[int, int, int] = GREY

    def __post_init__(self) -> None:
        if not (1 <= self.height <= 8192 and 1 <= self.width <= 8192):
            raise FinblendError(f"frame {self.height} x {self.width}: needs sides of 1 to 8192 pixels")
        for what, value, known in (
            ("resize", self.resize, RESIZES),
            ("interpolation", self.interpolation, tuple(INTERPOLATIONS)),
        ):
            if value not in known:
                raise FinblendError(f"frame: {what} '{value}' is none of {shown(known)}")
        if len(self.fill) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in self.fill):
            raise FinblendError(f"frame: fill {self.fill}: needs red, green and blue of 0 to 255")

    def shrinks(self, width: float, height: float) -> float:
        """How many pixels of an area this large make one of the frame's, along the side where they are fewer."""
        across, down = width / self.width, height / self.height
        return max(across, down) if self.resize == "pad" else min(across, down)


@dataclass(frozen=True)
class Shown:
    """One photo through a frame, once for each box.

    Attributes
    ----------
    pixels : (n_boxes, height, width, 3) uint8 array or None
        None if the file is unreadable.
    note : str
        What is wrong with the file; empty when nothing is.
    fallback : tuple of bool
        A box was given but has a side under 10 pixels on the photo, so the whole photo is shown.
    outside : tuple of bool
        A box reaches beyond the photo by more than 5 % of its side.
    """

    pixels: np.ndarray | None
    note: str
    fallback: tuple[bool, ...]
    outside: tuple[bool, ...]


def fit(image: Image.Image, box_pixels: PixelBox | None, frame: Frame) -> np.ndarray:
    """Show an RGB image, or a box of it, in a frame.

    Returns
    -------
    (height, width, 3) uint8 array
    """
    out = np.empty((frame.height, frame.width, 3), dtype=np.uint8)
    _fit_into(out, image, box_pixels or (0, 0, *image.size), frame)
    return out


def _fit_into(out: np.ndarray, image: Image.Image, area: Area, frame: Frame) -> None:
    x1, y1, x2, y2 = area
    shrinks = frame.shrinks(x2 - x1, y2 - y1)
    width, height = frame.width, frame.height
    if frame.resize == "crop":
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        across, down = width * shrinks / 2, height * shrinks / 2
        # sums of fractions may end a hair beyond the image, which Pillow refuses
        area = (max(x - across, x1), max(y - down, y1), min(x + across, x2), min(y + down, y2))
    elif frame.resize == "pad":
        width = min(max(round((x2 - x1) / shrinks), 1), width)
        height = min(max(round((y2 - y1) / shrinks), 1), height)
        out[:] = frame.fill
    gap = None if frame.interpolation == "nearest" else _GAP
    resized = image.resize((width, height), INTERPOLATIONS[frame.interpolation], box=area, reducing_gap=gap)
    left, upper = (frame.width - width) // 2, (frame.height - height) // 2
    out[upper : upper + height, left : left + width] = np.asarray(resized)


def show(
    path: Path,
    boxes: Sequence[Box | None],
    frame: Frame,
    *,
    jitter: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Shown:
    """Show a photo through a frame, once for each box; it is decoded once.

    Parameters
    ----------
    path : Path
    boxes : sequence of Box or None
        None is the whole photo.
    frame : Frame
    jitter : float
        Each edge of a box, or of the photo where it has none, moves by up to this share of the size.
    rng : numpy.random.Generator, optional
        Needed for jitter.

    Returns
    -------
    Shown
        Whatever is wrong with the file is in its note; nothing is raised.
    """

    def wanted(width: int, height: int) -> float:
        areas = [(box and box.pixels(width, height)) or (0, 0, width, height) for box in boxes]
        least = min((frame.shrinks(x2 - x1, y2 - y1) for x1, y1, x2, y2 in areas), default=1.0)
        return least * (1 - 2 * min(jitter, 0.5)) / _PIXELS_EACH

    decoded = decode(path, wanted, frame.fill)
    if decoded.image is None:
        return Shown(None, decoded.note, (False,) * len(boxes), (False,) * len(boxes))
    width, height = decoded.width, decoded.height
    pixels = np.empty((len(boxes), frame.height, frame.width, 3), dtype=np.uint8)
    fallback = []
    for out, box in zip(pixels, boxes, strict=True):
        place = None if box is None else box.pixels(width, height)
        fallback.append(box is not None and place is None)
        if jitter > 0 and rng is not None:
            # a photo without a box is jittered as if its box were all of it: a crop at random
            place = jittered(place or (0, 0, width, height), width, height, jitter, rng)
        _fit_into(out, decoded.image, decoded.place(place or (0, 0, width, height)), frame)
    outside = tuple(box is not None and reaches_outside(box, width, height) for box in boxes)
    return Shown(pixels, decoded.note, tuple(fallback), outside)
