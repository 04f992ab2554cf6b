"""The photos of a run as worker processes read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from backbones.photos import Box, Frame, show

MISSING = "missing"


@dataclass(frozen=True)
class Photo:
    """One photo, decoded.

    Attributes
    ----------
    pixels : (crops, height, width, 3) uint8 array
        Grey where there is nothing to see.
    failed : bool
    note : str
        What is wrong with it, or empty.
    whole : int
        Number of boxes that were too small, for which the whole photo is shown.
    """

    pixels: np.ndarray
    failed: bool
    note: str
    whole: int


@dataclass(frozen=True)
class PhotoSet(Dataset[Photo]):
    """Photos by row.

    Attributes
    ----------
    names : sequence of str
        As the catalogue has them.
    files : sequence of str or None
        None where there is no file.
    boxes : sequence of sequences of Box or None
        One sequence a crop; None for the whole photo.
    frame : Frame
    """

    names: Sequence[str]
    files: Sequence[str | None]
    boxes: Sequence[Sequence[Box | None]]
    frame: Frame

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Photo:
        file = self.files[row]
        boxes = [crop[row] for crop in self.boxes]
        if file is None:
            return Photo(self._nothing(len(boxes)), True, MISSING, 0)
        shown = show(Path(file), boxes, self.frame)
        if shown.pixels is None:
            return Photo(self._nothing(len(boxes)), True, shown.note, 0)
        return Photo(shown.pixels, False, shown.note, sum(shown.fallback))

    def _nothing(self, crops: int) -> np.ndarray:
        return np.full((crops, self.frame.height, self.frame.width, 3), 128, dtype=np.uint8)


def collate(photos: list[Photo]) -> tuple[Tensor, dict[str, Any]]:
    """Stack pixels to (b, crops, height, width, 3) uint8; the rest as lists."""
    pixels = torch.from_numpy(np.stack([photo.pixels for photo in photos]))
    told = {name: [getattr(photo, name) for photo in photos] for name in ("failed", "note", "whole")}
    return pixels, told
