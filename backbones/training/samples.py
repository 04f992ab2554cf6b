"""Training photos, drawn so that rare individuals get their share; seed, epoch and position decide every draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from backbones.photos import Box, Frame, show
from backbones.training.augment import Augment, augmented
from cv.errors import FinblendError

TRIES = 20


class Draw(NamedTuple):
    """One photo of one epoch: what a sampler hands to the photos."""

    epoch: int
    position: int
    row: int


@dataclass(frozen=True)
class TrainingPhotos(Dataset[tuple[Tensor, int, int]]):
    """Augmented photos with their labels.

    Attributes
    ----------
    files : sequence of str
    boxes : sequence of sequences of Box or None
        One sequence a crop; one of a photo's boxes is chosen at each draw.
    individuals, species : (n,) int array
        Class numbers.
    frame : Frame
    augment : Augment
    seed : int
    """

    files: Sequence[str]
    boxes: Sequence[Sequence[Box | None]]
    individuals: np.ndarray
    species: np.ndarray
    frame: Frame
    augment: Augment
    seed: int

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int, int]:
        rng, jitter_rng = np.random.default_rng([self.seed, draw.epoch, draw.position]).spawn(2)
        row = draw.row
        for _ in range(TRIES):
            boxes = [crop[row] for crop in self.boxes]
            box = boxes[int(rng.integers(len(boxes)))]
            shown = show(Path(self.files[row]), [box], self.frame, jitter=self.augment.jitter, rng=jitter_rng)
            if shown.pixels is not None:
                photo = augmented(shown.pixels[0], self.augment, rng)
                return photo, int(self.individuals[row]), int(self.species[row])
            # a photo that cannot be read gives its turn to another one
            row = int(rng.integers(len(self.files)))
        raise FinblendError(f"{TRIES} photos drawn one after another cannot be read, such as {self.files[row]}")


class ShareSampler(Sampler[Draw]):
    """Draws as many photos an epoch as there are, individuals in proportion to n^(1 - power).

    A photo is drawn floor or ceil of its expected number of times, so that an epoch leaves out as little as it can.
    In a run on several devices each takes its part of the same draws.
    """

    def __init__(self, labels: np.ndarray, power: float, seed: int, multiple: int = 1) -> None:
        counts = np.bincount(labels)[labels].astype(np.float64)
        share = counts**-power
        self.expected = len(labels) * share / share.sum()
        self.seed = seed
        self.multiple = multiple
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch, after a resume, too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.expected) // self.multiple

    def __iter__(self) -> Iterator[Draw]:
        rows = self.rows(self.epoch)
        rank = torch.distributed.get_rank() if self.multiple > 1 else 0
        for position in range(rank, len(self) * self.multiple, self.multiple):
            yield Draw(self.epoch, position, int(rows[position]))

    def rows(self, epoch: int) -> np.ndarray:
        """(n,) int array of the rows of an epoch, in their order."""
        rng = np.random.default_rng([self.seed, epoch])
        # systematic sampling: one offset for all, so that the counts sum to n exactly
        order = rng.permutation(len(self.expected))
        edges = np.floor(np.cumsum(self.expected[order]) + rng.random())
        edges[-1] = len(self.expected) if edges[-1] < len(self.expected) else edges[-1]
        times = np.diff(np.concatenate([[0.0], edges])).astype(np.int64)
        drawn = np.repeat(order, times)
        return np.asarray(rng.permutation(drawn[: len(self.expected)]))
