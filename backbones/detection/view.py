"""A view of a photo in the network's frame, and where a box is in it: one map for pixels and boxes alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.photos.decode import GREY, Decoded, decode

_TRIES = 10


@dataclass(frozen=True)
class Zoom:
    """How far a training view may go from the whole photo in the middle of the frame.

    Attributes
    ----------
    least, most : float
        Factors on the size of the whole photo: below 1 it stands between margins, above 1 it is cropped.
    stretch : float
        The sides' proportion changes by up to this share.
    flip : float
        Share of views that are mirrored.
    kept : float
        Least share of each box's area that a crop must show.
    """

    least: float = 0.7
    most: float = 1.4
    stretch: float = 0.1
    flip: float = 0.5
    kept: float = 0.8


@dataclass(frozen=True)
class View:
    """Frame pixel = (photo pixel - (left, upper)) x (across, down), and then perhaps mirrored.

    Attributes
    ----------
    height, width : int
        Of the frame.
    left, upper : float
        Photo pixel at the frame's left and upper edge; below 0 there is a margin.
    across, down : float
        Frame pixels a photo pixel.
    mirrored : bool
    """

    height: int
    width: int
    left: float
    upper: float
    across: float
    down: float
    mirrored: bool = False

    @classmethod
    def whole(cls, frame: tuple[int, int], photo: tuple[int, int]) -> View:
        """All of a photo (height, width) in the middle of a frame (height, width).

        Examples
        --------
        >>> View.whole((100, 100), (200, 400)).to_frame(np.array([[0.0, 0, 400, 200]])).tolist()
        [[0.0, 25.0, 100.0, 75.0]]
        """
        scale = min(frame[0] / photo[0], frame[1] / photo[1])
        return cls._placed(frame, photo, scale, scale, np.array([0.5, 0.5]))

    @classmethod
    def drawn(
        cls, frame: tuple[int, int], photo: tuple[int, int], boxes: np.ndarray, zoom: Zoom, rng: np.random.Generator
    ) -> View:
        """Draw a view that shows most of every box; the whole photo where none of some tries does."""
        scale = min(frame[0] / photo[0], frame[1] / photo[1])
        for _ in range(_TRIES):
            factor = scale * np.exp(rng.uniform(np.log(zoom.least), np.log(zoom.most)))
            stretch = np.exp(rng.uniform(-zoom.stretch, zoom.stretch) / 2)
            mirrored = bool(rng.random() < zoom.flip)
            view = cls._placed(frame, photo, factor * stretch, factor / stretch, rng.random(2), mirrored)
            if (view.shares(boxes) >= zoom.kept).all():
                return view
        return cls.whole(frame, photo)

    @classmethod
    def _placed(
        cls,
        frame: tuple[int, int],
        photo: tuple[int, int],
        across: float,
        down: float,
        place: np.ndarray,
        mirrored: bool = False,
    ) -> View:
        """At a share (x, y) of the room that there is: of the photo in the frame, or of the frame on the photo."""
        left, upper = place * (photo[1] - frame[1] / across, photo[0] - frame[0] / down)
        return cls(*frame, float(left), float(upper), float(across), float(down), mirrored)

    def shares(self, boxes: np.ndarray) -> np.ndarray:
        """(n,) shares of the boxes' areas that are in the frame."""
        shown = self.to_frame(boxes)
        before = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * self.across * self.down
        return np.asarray(np.prod(shown[:, 2:] - shown[:, :2], axis=1) / before)

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) boxes of the photo in the frame's pixels, cut at its edges."""
        out = (boxes - np.tile([self.left, self.upper], 2)) * np.tile([self.across, self.down], 2)
        if self.mirrored:
            out[:, [0, 2]] = self.width - out[:, [2, 0]]
        return np.asarray(out.clip(0, [self.width, self.height] * 2))

    def to_photo(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) boxes of the frame in the photo's pixels; they may reach beyond it."""
        out = boxes.astype(np.float64)
        if self.mirrored:
            out[:, [0, 2]] = self.width - out[:, [2, 0]]
        return np.asarray(out / np.tile([self.across, self.down], 2) + np.tile([self.left, self.upper], 2))

    def pixels(self, decoded: Decoded) -> np.ndarray:
        """(height, width, 3) uint8 array: the photo through this view."""
        assert decoded.image is not None  # noqa: S101 - asked for photos that can be read
        out = np.full((self.height, self.width, 3), GREY, dtype=np.uint8)
        # where the photo's edges are in the frame, in whole pixels
        plain = View(self.height, self.width, self.left, self.upper, self.across, self.down)
        x1, y1, x2, y2 = plain.to_frame(np.array([[0, 0, decoded.width, decoded.height]])).round().astype(int)[0]
        if x2 > x1 and y2 > y1:
            area = plain.to_photo(np.array([[x1, y1, x2, y2]]))[0].clip(0, [decoded.width, decoded.height] * 2)
            # a photo that was decoded smaller may end a hair before its last pixel
            place = np.clip(decoded.place(tuple(area)), 0, [*decoded.image.size] * 2)
            size = (int(x2 - x1), int(y2 - y1))
            resized = decoded.image.resize(size, Image.Resampling.BILINEAR, box=tuple(place), reducing_gap=3.0)
            out[y1:y2, x1:x2] = np.asarray(resized)
        return np.ascontiguousarray(out[:, ::-1]) if self.mirrored else out


def decoded_for(path: Path, frame: tuple[int, int], zoom: float = 1.0) -> Decoded:
    """A photo, decoded no larger than twice what a view of it needs."""
    return decode(path, lambda width, height: max(height / frame[0], width / frame[1]) / (2 * zoom))
