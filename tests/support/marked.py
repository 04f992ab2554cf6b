"""Photos whose marks are planted: an extractor reads from a photo's colour whom it shows, and gives drawn features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from backbones.local_features import LocalFeatures
from ensemble import init, register

WIDTH, HEIGHT = 120, 90
MARKS, OUTLIERS, PARTS = 12, 6, 24
INDIVIDUALS, SIGHTINGS, TEST = 8, 3, 6


def planted(photo: int, individual: int) -> LocalFeatures:
    """An individual's marks, moved by a map of the photo's own, and as many drawn features as `OUTLIERS`."""
    look, rng = np.random.default_rng(individual), np.random.default_rng(1000 + photo)
    marks, places = look.standard_normal((MARKS, PARTS)), look.uniform([35, 30], [85, 60], (MARKS, 2))
    turn, scale = np.deg2rad(rng.uniform(-10, 10)), rng.uniform(0.9, 1.1)
    turned = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([60, 45])
    moved = (places - centre) @ turned.T + centre + rng.uniform(-4, 4, 2)
    descriptors = np.vstack([marks + 0.05 * rng.standard_normal(marks.shape), rng.standard_normal((OUTLIERS, PARTS))])
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = np.vstack([moved, rng.uniform([2, 2], [118, 88], (OUTLIERS, 2))])
    places = np.column_stack([xy, np.full(len(xy), 4.0), np.full(len(xy), -1.0)])
    return LocalFeatures.strongest(places, descriptors, np.arange(len(xy), 0, -1.0), len(xy))


@dataclass
class Planted:
    """The extractor: red is the photo, green the individual, blue on which side the photo begins."""

    keypoints: int
    name: str = "sift"
    width: int = PARTS
    fingerprint: str = "planted 1"
    in_workers: bool = False

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        red, green, blue = photo[0, 0].tolist()
        found = planted(red, green)
        if blue:
            places = found.keypoints.copy()
            places[:, 0] = photo.shape[1] - 1 - places[:, 0]
            found = LocalFeatures(places, found.descriptors, found.scores)
        return found.take(np.arange(min(self.keypoints, len(found))))


def use_planted(patch: pytest.MonkeyPatch) -> None:
    """Let `match` extract planted features."""
    patch.setattr("backbones.local_features.extract.build_local", lambda name, keypoints: Planted(keypoints))


class Marked:
    """Eight animals of two species on three sightings each, and six test photos, of which one is a stranger's.

    Photo k of an animal is in fold k; the last photos of animals 0 and 1 are of the first photo's encounter.
    """

    def __init__(self, folder: Path, test_species: bool = False) -> None:
        self.photos, self.project = folder / "photos", folder / "P"
        self.photos.mkdir(parents=True)
        self.who = np.repeat(np.arange(INDIVIDUALS), SIGHTINGS)
        self.fold = np.tile(np.arange(SIGHTINGS), INDIVIDUALS)
        self.species = np.where(self.who % 2, "seal", "lion")
        self.encounter = np.arange(len(self.who))
        self.encounter[[2, 5]] = self.encounter[[0, 3]]
        self.who_of_test = np.arange(TEST) + INDIVIDUALS - TEST + 1
        self.train = [f"tr{row:02d}.png" for row in range(len(self.who))]
        self.test = [f"te{row:02d}.png" for row in range(TEST)]
        for row, (name, who) in enumerate(zip(self.train + self.test, self.everyone, strict=True)):
            pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            pixels[:, :, 0], pixels[:, :, 1], pixels[:, WIDTH // 2 :, 2] = row, who, 255
            Image.fromarray(pixels).save(self.photos / name)
        table = {
            "image": self.train,
            "species": self.species,
            "individual_id": [f"i{who}" for who in self.who],
            "encounter": [f"e{n}" for n in self.encounter],
        }
        pl.DataFrame(table).write_csv(folder / "train.csv")
        pl.DataFrame({"image": self.train, "fold": self.fold}).write_csv(folder / "folds.csv")
        asked: dict[str, Any] = {"image": self.test}
        if test_species:
            asked["species"] = np.where(self.who_of_test % 2, "seal", "lion")
        pl.DataFrame(asked).write_csv(folder / "test.csv")
        init(
            self.project,
            train=folder / "train.csv",
            test=folder / "test.csv",
            folds=f"{folder / 'folds.csv'}:fold",
            encounters="encounter",
        )

    @property
    def everyone(self) -> np.ndarray:
        """The individual on each photo, train photos first."""
        return np.append(self.who, self.who_of_test)

    def add_model(self, name: str = "m", seed: int = 0, noise: float = 0.5) -> None:
        """Register a network that tells species and, more or less, animals apart."""
        rng = np.random.default_rng(seed)
        look = rng.standard_normal((INDIVIDUALS + 1, 8)) + 3 * (np.arange(INDIVIDUALS + 1) % 2)[:, None]
        array = (look[self.everyone] + noise * rng.standard_normal((len(self.everyone), 8))).astype(np.float32)
        train, test = np.split(array, [len(self.who)])
        register(self.project, name, frozen=True, train=(self.train, train), test=(self.test, test))

    def is_leak(self, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """Pairs of train photos of one encounter; every photo is of one."""
        return np.asarray(self.encounter[query] == self.encounter[gallery])


def literal_votes(
    gallery: Sequence[tuple[int, int, np.ndarray]], queries: Sequence[tuple[int, int, np.ndarray]], voters: int
) -> Mapping[tuple[int, int], float]:
    """LNBNN as McCann and Lowe write it, each line a loop; rows are (photo, group, descriptor)."""
    total: dict[tuple[int, int], float] = {}
    for query, group, descriptor in queries:
        near = sorted(
            (float(np.sqrt(((descriptor.astype(float) - other.astype(float)) ** 2).sum())), photo)
            for photo, of_photo, other in gallery
            if of_photo != group
        )[: voters + 1]
        if near:
            background = near[-1][0]
            for distance, photo in near[:voters]:
                total[query, photo] = total.get((query, photo), 0.0) + max(0.0, background - distance)
    return {pair: score for pair, score in total.items() if score > 0}
