"""Photos with boxes as worker processes show them: drawn views to train on, whole photos to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from backbones.detection.view import View, Zoom, decoded_for
from backbones.training.augment import Augment, augmented
from cv.errors import FinblendError

# colours of a training photo; its geometry is the view's
COLOURS = Augment(
    rotate=0, flip=0, jitter=0, hue=0.03, saturation=0.3, value=0.2, contrast=0.2, brightness=0.1
)  # fmt: skip
_TRIES = 20


@dataclass(frozen=True)
class BoxedPhoto:
    """One photo with all its boxes.

    Attributes
    ----------
    name, file : str
    size : (int, int)
        Height and width of the upright photo.
    boxes : (n, 4) float64 array
        x1, y1, x2, y2 in its pixels, within it.
    classes : (n,) int64 array
    """

    name: str
    file: str
    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray


Shown = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class TrainingViews(Dataset[Shown]):
    """Drawn views by (epoch, position, row): seed, epoch and position decide every draw.

    Attributes
    ----------
    photos : sequence of BoxedPhoto
    frame : (int, int)
        Height and width.
    seed : int
    zoom : Zoom
    colours : Augment
    """

    photos: Sequence[BoxedPhoto]
    frame: tuple[int, int]
    seed: int
    zoom: Zoom = field(default_factory=Zoom)
    colours: Augment = COLOURS

    def __getitem__(self, draw: tuple[int, int, int]) -> Shown:
        """(height, width, 3) uint8 pixels, (n, 4) float32 boxes, (n,) int64 classes."""
        epoch, position, row = draw
        rng = np.random.default_rng([self.seed, epoch, position])
        for _ in range(_TRIES):
            photo = self.photos[row]
            decoded = decoded_for(Path(photo.file), self.frame, self.zoom.most)
            if decoded.image is not None:
                view = View.drawn(self.frame, photo.size, photo.boxes, self.zoom, rng)
                boxes = torch.from_numpy(view.to_frame(photo.boxes).astype(np.float32))
                return augmented(view.pixels(decoded), self.colours, rng), boxes, torch.from_numpy(photo.classes)
            # one that has become unreadable gives its turn to another one
            row = int(rng.integers(len(self.photos)))
        raise FinblendError(f"{_TRIES} photos drawn one after another cannot be read, such as {self.photos[row].file}")

    def draws(self, epoch: int) -> list[tuple[int, int, int]]:
        """An epoch: every photo once, in an order of its own."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
        return [(epoch, position, int(row)) for position, row in enumerate(order)]


def together(shown: list[Shown]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """A batch: (B, height, width, 3) pixels, and torchvision's targets."""
    targets = [{"boxes": boxes, "labels": classes} for _, boxes, classes in shown]
    return torch.stack([pixels for pixels, _, _ in shown]), targets


@dataclass(frozen=True)
class Whole:
    """One whole photo in the frame; `pixels` is grey and `note` says why where it cannot be read."""

    pixels: np.ndarray
    view: View
    size: tuple[int, int]
    note: str

    @property
    def failed(self) -> bool:
        """Whether there was nothing to be shown."""
        return self.size == (0, 0)


@dataclass(frozen=True)
class WholePhotos(Dataset[Whole]):
    """Whole photos by row, in the frame (height, width)."""

    files: Sequence[str]
    frame: tuple[int, int]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Whole:
        decoded = decoded_for(Path(self.files[row]), self.frame)
        size = (decoded.height, decoded.width)
        if decoded.image is None:
            nothing = np.full((*self.frame, 3), 128, dtype=np.uint8)
            return Whole(nothing, View.whole(self.frame, self.frame), (0, 0), decoded.note)
        view = View.whole(self.frame, size)
        return Whole(view.pixels(decoded), view, size, decoded.note)
