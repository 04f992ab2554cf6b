"""One photo's features: decoded, cut to its box with some context, extracted, told in the photo's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.local_features.contract import LocalExtractor, LocalFeatures
from backbones.photos import Box
from backbones.photos.decode import decode
from cv.errors import FinblendError

# larger photos, or boxes, are shown smaller: this many pixels on their long side
LONG_SIDE = 1024
# keypoints are kept in a box that is wider by this share of its sides on every side: boxes are drawn too tight
MARGIN = 0.05
# the extractor sees so much more on every side, and what it finds there is dropped: whitened out, or cut off at the
# box, the animal would get edges that it does not have. The whole photo would show a small animal in few pixels
CONTEXT = 0.15


@dataclass(frozen=True)
class ShownFeatures:
    """What was found on one photo.

    Attributes
    ----------
    features : LocalFeatures
        In pixels of the upright photo in full, mirrored where that was asked for.
    size : (int, int)
        Its height and width; 0 where it cannot be read.
    failed : bool
    note : str
        What is wrong with it, or empty.
    """

    features: LocalFeatures
    size: tuple[int, int]
    failed: bool
    note: str


def features_of(
    file: str | None, box: Box | None, extractor: LocalExtractor, keypoints: int, mirrored: bool, missing: str
) -> ShownFeatures:
    """Extract the features of a photo.

    Parameters
    ----------
    file : str or None
    box : Box or None
        Where the animal is; one with a side under 10 pixels counts as none.
    extractor : LocalExtractor
    keypoints : int
        How many of the strongest are kept.
    mirrored : bool
        Of the mirrored photo.
    missing : str
        The note where there is no file.

    Returns
    -------
    ShownFeatures
        Without any feature and with a note where the photo cannot be read.

    Raises
    ------
    FinblendError
        If the extractor fails on the photo.
    """
    nothing = LocalFeatures.none(extractor.width)
    if file is None:
        return ShownFeatures(nothing, (0, 0), True, missing)

    def area(width: int, height: int, share: float) -> tuple[int, int, int, int]:
        place = None if box is None else box.pixels(width, height)
        return (0, 0, width, height) if place is None else _widened(place, share, width, height)

    def wanted(width: int, height: int) -> float:
        x1, y1, x2, y2 = area(width, height, CONTEXT)
        return max(x2 - x1, y2 - y1) / LONG_SIDE

    photo = decode(Path(file), wanted)
    if photo.image is None:
        return ShownFeatures(nothing, (0, 0), True, photo.note)
    width, height = photo.width, photo.height
    x1, y1, x2, y2 = seen = area(width, height, CONTEXT)
    shrink = max(1.0, max(x2 - x1, y2 - y1) / LONG_SIDE)
    sides = max(1, round((x2 - x1) / shrink)), max(1, round((y2 - y1) / shrink))
    pixels = np.asarray(photo.image.resize(sides, Image.Resampling.LANCZOS, box=photo.place(seen), reducing_gap=3.0))
    kept = area(width, height, MARGIN)
    if mirrored:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        x1, x2 = width - x2, width - x1
        kept = width - kept[2], kept[1], width - kept[0], kept[3]
    try:
        found = extractor.extract(pixels)
        if found.width != extractor.width:
            raise ValueError(f"gave descriptors of {found.width} parts, {extractor.width} are its width")
    except Exception as error:  # an extractor may be anybody's, and the photo is what can be looked at
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FinblendError(f"--features {extractor.name}: fails on {file} ({reason})") from None
    places = found.keypoints.copy()
    across, down = (x2 - x1) / sides[0], (y2 - y1) / sides[1]
    # (0, 0) is the middle of a pixel
    places[:, 0] = (places[:, 0] + 0.5) * across - 0.5 + x1
    places[:, 1] = (places[:, 1] + 0.5) * down - 0.5 + y1
    places[:, 2] *= (across + down) / 2
    inside = LocalFeatures(places, found.descriptors, found.scores).inside(
        (kept[0] - 0.5, kept[1] - 0.5, kept[2] - 0.5, kept[3] - 0.5)
    )
    return ShownFeatures(inside.take(np.arange(min(keypoints, len(inside)))), (height, width), False, photo.note)


def _widened(place: tuple[int, int, int, int], share: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box with a share of its sides added on every side, clipped to the photo."""
    x1, y1, x2, y2 = place
    across, down = round(share * (x2 - x1)), round(share * (y2 - y1))
    return max(0, x1 - across), max(0, y1 - down), min(width, x2 + across), min(height, y2 + down)
