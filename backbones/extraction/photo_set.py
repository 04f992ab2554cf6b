"""The photos of a run as worker processes read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from backbones.photos import Box, Frame, show
from backbones.workers import end_with_run

MISSING = "missing"
# photos that a worker looks at before it tells
_AT_ONCE = 16


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
    facts = {name: [getattr(photo, name) for photo in photos] for name in ("failed", "note", "whole")}
    return pixels, facts


@dataclass(frozen=True)
class _Notes(Dataset[str]):
    """What is wrong with photos: read as they are to be shown, but no pixels travel between processes."""

    photos: PhotoSet

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> str:
        return self.photos[row].note


def notes_of(photos: PhotoSet, workers: int, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read every photo, and tell what is wrong with it.

    Parameters
    ----------
    photos : PhotoSet
    workers : int
        Decoding processes; 0: in this one.
    progress : callable, optional
        Gets the number of photos just read and of all.

    Returns
    -------
    list of str
        One a photo, empty where all is fine: the very notes that `Run.extract` would end with.
    """
    loader = DataLoader(
        _Notes(photos),
        batch_size=_AT_ONCE,
        num_workers=min(workers, -(-len(photos) // _AT_ONCE)),
        worker_init_fn=end_with_run,
        collate_fn=list,
    )
    notes: list[str] = []
    for some in loader:
        notes += some
        if progress is not None:
            progress(len(some), len(photos))
    return notes
