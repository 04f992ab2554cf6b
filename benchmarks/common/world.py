"""Worlds of embeddings to measure on: drawn here at any scale, or read from a folder that whaleworld.py wrote.

The drawn ones have the shape of Happywhale: few individuals with many photos, most with one, species of unequal size,
photos of unequal quality, two flanks; at scale 1.0 about 51,000 train and 28,000 test photos. Drawing holds the looks
(photos x 96 numbers) and one model's embeddings at a time: 1 GB at scale 10 with 256 numbers a model.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import ensemble

WIDTHS = (2048, 1024, 1280, 1536, 2048, 1536, 2304, 768)
SKILL = (0.90, 0.80, 0.85, 0.75, 0.80, 0.70, 0.85, 0.65)
INDIVIDUALS, TEST_PHOTOS, SPECIES, LATENT = 15_587, 27_956, 26, 96
NEW_SHARE = 0.112
_BLOCK = 4096


@dataclass(frozen=True)
class World:
    """Files of one world.

    Attributes
    ----------
    folder : Path
        With train.csv, sample_submission.csv, test_answers.csv, one .npz a model (or a model and fold) and, where
        networks are trained per fold, folds.csv.
    """

    folder: Path

    @property
    def models(self) -> dict[str, list[Path]]:
        """Files of each model."""
        files: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            files.setdefault(path.stem.partition("-fold")[0], []).append(path)
        return files

    @property
    def per_fold(self) -> bool:
        """Whether networks are trained fold by fold."""
        return (self.folder / "folds.csv").is_file()

    def project(self, folder: Path, models: int | None = None, folds: int | str = 5) -> Path:
        """Make a project of it, with its own folds where it has some, and register its (first few) models."""
        folds = f"{self.folder}/folds.csv:fold" if self.per_fold else folds
        train, test = self.folder / "train.csv", self.folder / "sample_submission.csv"
        ensemble.init(folder, train=train, test=test, folds=folds)
        for name, paths in list(self.models.items())[:models]:
            for path in paths:
                fold = path.stem.partition("-fold")[2]
                if fold:
                    ensemble.register(folder, name, fold=int(fold), train=path, test=path)
                else:
                    ensemble.register(folder, name, frozen=True, train=path, test=path)
        return folder

    @property
    def answers(self) -> list[str]:
        """Who is on each test photo."""
        return pl.read_csv(self.folder / "test_answers.csv")["answer"].to_list()

    def score(self, submission: Path) -> float:
        """MAP@5 on the answers held back."""
        from cv.metrics import map5

        return map5(pl.read_csv(submission)["predictions"].str.split(" ").to_list(), self.answers)


def run_whaleworld(
    whaleworld: str | Path, folder: Path, scale: float, models: int, seed: int, per_fold: bool = False, *more: str
) -> World:
    """The world that whaleworld.py (no part of finblend) draws into a folder."""
    command = [sys.executable, str(whaleworld), str(folder), "--scale", str(scale), "--models", str(models)]
    command += ["--seed", str(seed), *["--per-fold"] * per_fold, *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return World(folder)


def draw_world(folder: Path, scale: float, models: int, seed: int = 0, numbers: int = 0) -> World:
    """Draw a world of frozen models, each of its own width or, where given, of so many numbers a photo."""
    rng = np.random.default_rng(seed)
    n = max(40, int(INDIVIDUALS * scale))
    # photos per individual fall off like a power, as in Happywhale: 60 % have one, a few have hundreds
    counts = np.minimum(np.floor(rng.pareto(1.3, n) + 1), 400).astype(int)
    species = rng.choice(SPECIES, n, p=_falling(SPECIES))
    train = np.repeat(np.arange(n), counts)
    m = max(40, int(TEST_PHOTOS * scale))
    strangers = int(m * NEW_SHARE)
    known = rng.choice(n, m - strangers, p=counts**0.8 / (counts**0.8).sum())
    new = n + np.arange(strangers) // 2
    new_species = rng.choice(SPECIES, strangers, p=_falling(SPECIES))[np.arange(strangers) // 2]
    every_species = np.append(species, new_species[::2] if strangers else species[:0])
    test = rng.permutation(np.append(known, new))
    total = n + (strangers + 1) // 2
    centre = rng.standard_normal((SPECIES, LATENT))[every_species[:total]] + rng.standard_normal((total, LATENT))
    flank = 0.6 * rng.standard_normal((2, total, LATENT))
    looks = [_photos(rng, centre, flank, rows) for rows in (train, test)]
    names = np.array([f"id{i:05d}" for i in range(total)])
    folder.mkdir(parents=True, exist_ok=True)
    images = [
        np.array([f"{split}{i:06d}.jpg" for i in range(len(rows))]) for split, rows in (("a", train), ("b", test))
    ]
    labels = [f"species{s:02d}" for s in species[train]]
    pl.DataFrame({"image": images[0], "species": labels, "individual_id": names[train]}).write_csv(folder / "train.csv")
    pl.DataFrame({"image": images[1], "predictions": ["new_individual"] * m}).write_csv(
        folder / "sample_submission.csv"
    )
    answers = np.where(test < n, names[test], "new_individual")
    pl.DataFrame({"image": images[1], "answer": answers}).write_csv(folder / "test_answers.csv")
    for k in range(models):
        mixing = rng.standard_normal((LATENT, numbers or WIDTHS[k])).astype(np.float32) / np.sqrt(LATENT)
        train_embedding, test_embedding = (
            _embed(rng, latent, quality, mixing, 0.75 / SKILL[k]) for latent, quality in looks
        )
        np.savez(
            folder / f"model{k}.npz",
            train_image=images[0],
            train_embedding=train_embedding,
            test_image=images[1],
            test_embedding=test_embedding,
        )
    return World(folder)


def _falling(n: int) -> np.ndarray:
    share = 0.85 ** np.arange(n)
    return share / share.sum()


def _photos(rng: np.random.Generator, centre: np.ndarray, flank: np.ndarray, rows: np.ndarray) -> tuple:
    quality = np.exp(0.7 * rng.standard_normal((len(rows), 1)))
    side = rng.integers(0, 2, len(rows))
    out = np.empty((len(rows), LATENT), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        noise = 0.75 * quality[block] * rng.standard_normal((len(quality[block]), LATENT))
        out[block] = centre[rows[block]] + flank[side[block], rows[block]] + noise
    return out, quality


def _embed(
    rng: np.random.Generator, latent: np.ndarray, quality: np.ndarray, mixing: np.ndarray, noise: float
) -> np.ndarray:
    out = np.empty((len(latent), mixing.shape[1]), dtype=np.float16)
    for start in range(0, len(latent), _BLOCK):
        block = slice(start, start + _BLOCK)
        look = latent[block] + noise * quality[block] * rng.standard_normal(latent[block].shape)
        grain = 0.25 * rng.standard_normal((len(look), mixing.shape[1]), dtype=np.float32)
        out[block] = np.tanh(look.astype(np.float32) @ mixing) + grain
    return out
