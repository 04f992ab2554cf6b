"""A run over all photos, on a fixed grid of batches, each kept as it is done: killed at any moment, it goes on.

Memory: the embeddings of all photos in all views (float32), and `2 x workers` decoded batches.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from backbones.extraction.forward import Forward
from backbones.extraction.photo_set import PhotoSet, collate
from backbones.extraction.views import View
from backbones.workers import end_with_run
from cv.files import written_beside

_FACTS = ("failed", "note", "whole")
PROBE = 8


@dataclass
class Extracted:
    """What a run made.

    Attributes
    ----------
    views : dict of str to (n, D) float32 array
    failed : (n,) bool array
        Photos without an embedding.
    note : (n,) array of str
        What was wrong with a photo, or empty.
    whole : (n,) int array
        Boxes too small to be used.
    computed : int
        Photos that this call embedded; the others were there already, or could not be read.
    """

    views: dict[str, np.ndarray]
    failed: np.ndarray
    note: np.ndarray
    whole: np.ndarray
    computed: int = 0


@dataclass(frozen=True)
class Grid:
    """Rows in batches: always the same ones, as a photo's embedding may differ in the last bit between batches."""

    rows: int
    batch: int

    def __len__(self) -> int:
        return math.ceil(self.rows / self.batch)

    def __getitem__(self, index: int) -> range:
        return range(index * self.batch, min(self.rows, (index + 1) * self.batch))


@dataclass
class Run:
    """One run.

    Attributes
    ----------
    forward : Forward
    photos : PhotoSet
    views : sequence of View
    folder : Path
        Keeps finished batches; belongs to this very run (see `fingerprint`).
    batch, workers : int
        Photos a batch; decoding processes (0: in this one).
    """

    forward: Forward
    photos: PhotoSet
    views: Sequence[View]
    folder: Path
    batch: int
    workers: int
    _parts: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    def extract(self, progress: Callable[[int, int], None] | None = None) -> Extracted:
        """Embed every photo that is not there yet.

        Parameters
        ----------
        progress : callable, optional
            Gets the number of photos just done and of all.
        """
        tell = progress or (lambda done, total: None)
        grid = Grid(len(self.photos), self.batch)
        todo = self.missing(range(len(grid)))
        tell(len(self.photos) - sum(len(grid[index]) for index in todo), len(self.photos))
        return self._joined(len(grid), self._embed(todo, tell))

    def embed(self, batches: Sequence[int], progress: Callable[[int, int], None] | None = None) -> int:
        """Embed and keep some batches of the grid, those that are not there yet, and say how many photos that were.

        For one of several processes: another one joins all of them by `extract`.
        """
        done = self._embed(self.missing(batches), progress or (lambda done, total: None))
        self._parts.clear()
        return done

    def missing(self, batches: Sequence[int]) -> list[int]:
        """Those batches that are not there yet; the others are read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        grid = Grid(len(self.photos), self.batch)
        for index in batches:
            part = _read(self.path(index), len(grid[index]), len(self.views))
            if part is not None:
                self._parts[index] = part
        return [index for index in batches if index not in self._parts]

    def _embed(self, todo: list[int], tell: Callable[[int, int], None]) -> int:
        """Embed batches, and say of how many photos that could be read."""
        grid = Grid(len(self.photos), self.batch)
        under_way: tuple[int, torch.Tensor, dict[str, Any]] | None = None
        for index, (pixels, facts) in zip(todo, self._loader([list(grid[index]) for index in todo]), strict=True):
            embedded = self.forward(pixels, self.views)
            # a GPU is one batch ahead: the next one is computed while this one is copied and written
            done, under_way = under_way, (index, embedded, facts)
            if self.forward.device.type == "cpu":
                done, under_way = under_way, None
            if done is not None:
                self._keep(*done)
                tell(len(done[2]["note"]), len(self.photos))
        if under_way is not None:
            self._keep(*under_way)
            tell(len(under_way[2]["note"]), len(self.photos))
        return sum(int(np.count_nonzero(~self._parts[index]["failed"])) for index in todo)

    def first_photos(self) -> torch.Tensor:
        """A few photos that can be read, for measuring the precision; grey ones where there are none."""
        shown = []
        for row in range(min(len(self.photos), 16 * PROBE)):
            photo = self.photos[row]
            if not photo.failed:
                shown.append(photo)
            if len(shown) == PROBE:
                break
        return collate(shown or [self.photos[0]])[0]

    def _loader(self, batches: list[list[int]]) -> DataLoader:
        return DataLoader(
            self.photos,
            batch_sampler=batches,
            num_workers=min(self.workers, len(batches)),
            worker_init_fn=end_with_run,
            collate_fn=collate,
            pin_memory=self.forward.device.type == "cuda",
        )

    def path(self, index: int) -> Path:
        """Where a batch is kept."""
        return self.folder / f"batch-{index:06d}.npz"

    def _keep(self, index: int, embedded: torch.Tensor, facts: dict[str, Any]) -> None:
        part = {"embedded": embedded.cpu().numpy()} | {name: np.array(facts[name]) for name in _FACTS}
        with written_beside(self.path(index)) as temporary, temporary.open("wb") as file:
            np.savez(file, **part)  # type: ignore[arg-type]
        self._parts[index] = part

    def _joined(self, parts: int, computed: int) -> Extracted:
        first = self._parts[0]["embedded"]
        views = {view.name: np.empty((len(self.photos), first.shape[2]), np.float32) for view in self.views}
        facts: dict[str, list[np.ndarray]] = {name: [] for name in _FACTS}
        start = 0
        for index in range(parts):
            part = self._parts.pop(index)
            stop = start + part["embedded"].shape[1]
            for name, embedded in zip(views, part["embedded"], strict=True):
                views[name][start:stop] = embedded
            for name in _FACTS:
                facts[name].append(part[name])
            start = stop
        return Extracted(views, **{name: np.concatenate(arrays) for name, arrays in facts.items()}, computed=computed)


def fingerprint(*facts: object) -> str:
    """A short hash of all that decides a run's result: another run never goes on with its batches."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _read(path: Path, rows: int, views: int) -> dict[str, np.ndarray] | None:
    """A finished batch, or None where there is none or a broken one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            part = {name: file[name] for name in ("embedded", *_FACTS)}
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile):
        # a flipped bit may as well ask for a password (RuntimeError) or an unknown compression (NotImplementedError)
        return None
    return part if part["embedded"].shape[:2] == (views, rows) else None
