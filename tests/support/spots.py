"""Photos with spots of one pixel, and an extractor that finds exactly those."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.local_features import LocalFeatures, LocalPhotos


@dataclass
class Spots:
    """Red spots: their red is the score, their green the direction of a descriptor of 2 parts."""

    keypoints: int
    fingerprint: str = "spots 1"
    name: str = "spots"
    width: int = 2
    in_workers: bool = False
    seen: list[tuple[int, int]] = field(default_factory=list)
    # photos after which it is killed
    dies_after: int | None = None

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        if self.dies_after is not None and len(self.seen) >= self.dies_after:
            raise KeyboardInterrupt
        self.seen.append(photo.shape[:2])
        y, x = np.nonzero((photo[:, :, 0] > 150) & (photo[:, :, 2] < 50))
        angle = photo[y, x, 1] / 255 * np.pi
        places = np.column_stack([x, y, np.full(len(x), 4), np.full(len(x), -1)])
        descriptors = np.column_stack([np.cos(angle), np.sin(angle)])
        return LocalFeatures.strongest(places, descriptors, photo[y, x, 0].astype(float), self.keypoints)


def built(monkeypatch: pytest.MonkeyPatch, **how: object) -> list[Spots]:
    """Let extraction use it, and tell all that are built."""
    made: list[Spots] = []

    def build(name: str, keypoints: int) -> Spots:
        made.append(Spots(keypoints, **how))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("backbones.local_features.extract.build_local", build)
    return made


def paint(path: Path, spots: list[tuple[int, int, int]], size: tuple[int, int] = (60, 80)) -> Path:
    """Write a photo of a height and width with spots x, y, red."""
    photo = np.full((*size, 3), 90, np.uint8)
    for x, y, red in spots:
        photo[y, x] = red, 100, 0
    Image.fromarray(photo).save(path)
    return path


def photos_of(folder: Path, each: list[list[tuple[int, int, int]]], train: int) -> LocalPhotos:
    """Write photos 0.png, 1.png, ... with these spots."""
    folder.mkdir(exist_ok=True)
    files = [str(paint(folder / f"{row}.png", spots)) for row, spots in enumerate(each)]
    names = [Path(file).name for file in files]
    return LocalPhotos(names=names, files=files, boxes=[None] * len(files), train=train)
