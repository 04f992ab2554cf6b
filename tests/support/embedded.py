"""Photos made on the fly, and `finblend embed` with a tiny network in this process."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from backbones.store import Store
from ensemble.cli import main

TINY = ["--backbone", "timm:test_efficientnet", "--weights", "random", "--size", "32"]


@dataclass
class Done:
    """What a command wrote."""

    stdout: str
    stderr: str


def finblend(*arguments: object, code: int = 0) -> Done:
    """Run the command line in this process: starting a new one costs seconds of imports."""
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        found = main([str(argument) for argument in arguments])
    done = Done(out.getvalue(), told.getvalue())
    assert found == code, done.stderr
    if code:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done


def warned_of(done: Done) -> list[str]:
    """The warnings about photos; the first one is about weights at random."""
    first, *rest = [line.removeprefix("finblend: warning: ") for line in done.stderr.splitlines()]
    assert "never trained" in first
    return rest


class Photos:
    """A project of 24 train and 6 test photos of six individuals, each of a pattern of its own."""

    def __init__(self, folder: Path, count: int = 24) -> None:
        self.folder, self.images, self.project = folder, folder / "photos", folder / "P"
        self.images.mkdir(parents=True)
        rng = np.random.default_rng(0)
        looks = rng.integers(0, 255, (6, 6, 8, 3))
        self.train = [f"tr{i:03d}.jpg" for i in range(count)]
        self.test = [f"te{i:03d}.jpg" for i in range(6)]
        for position, name in enumerate(self.train + self.test):
            pattern = looks[position % 6] + rng.integers(-40, 40, (6, 8, 3))
            pixels = np.kron(np.clip(pattern, 0, 255), np.ones((10, 10, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(self.images / name, quality=90)
        pl.DataFrame(
            {"image": self.train, "species": ["a"] * count, "individual_id": [f"id{i % 6}" for i in range(count)]}
        ).write_csv(folder / "train.csv")
        pl.DataFrame({"image": self.test, "predictions": ["new_individual"] * 6}).write_csv(folder / "sample.csv")
        finblend("init", self.project, "--train", folder / "train.csv", "--test", folder / "sample.csv", "--folds", "3")

    def embed(self, model: str, *more: object, code: int = 0) -> Done:
        return finblend("embed", self.project, model, *TINY, "--images", self.images, *more, code=code)

    def store(self, model: str, seen: str = "frozen") -> Store:
        return Store(self.project / "stores" / model / seen)
