"""A catalogue of small photos to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image

from backbones.weights import read_state
from ensemble.cli import main

PEOPLE, EACH, TESTS = 10, 4, 8


class World:
    """41 small photos of 11 individuals in two species, one of them broken, 8 test photos, and the team's 3 folds."""

    def __init__(self, folder: Path, *, permuted: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.folder, self.photos, self.project = folder, folder / "photos", folder / "P"
        self.photos.mkdir(parents=True)
        who = np.append(np.repeat(np.arange(PEOPLE), EACH), PEOPLE)
        # the one who has a single photo is a stranger in fold 0
        fold = np.append(np.arange(len(who) - 1) % 3, 0)
        looks = rng.integers(0, 256, (PEOPLE + 1, 5, 5, 3)).astype(np.float64)
        self.train = [f"tr{i:02d}.jpg" for i in range(len(who))]
        self.test = [f"te{i}.jpg" for i in range(TESTS)]
        for name, individual in zip(self.train + self.test, [*who, *range(TESTS)], strict=True):
            noisy = looks[individual] + rng.normal(0, 12, looks[individual].shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((40, 40)).save(self.photos / name)
        (self.photos / "tr05.jpg").write_bytes(b"not a photo")
        if permuted:
            own = np.flatnonzero(fold == 0)
            who[own] = np.roll(who[own], 5)
        table = {
            "image": self.train,
            "species": ["beluga" if i % 2 else "fin_whale" for i in who],
            "individual_id": [f"id{i:02d}" for i in who],
            "fold": fold,
        }
        pl.DataFrame(table).write_csv(folder / "train.csv")
        pl.DataFrame({"image": self.test, "predictions": "new_individual"}).write_csv(folder / "sample.csv")
        files = ["--train", f"{folder}/train.csv", "--test", f"{folder}/sample.csv"]
        assert main(["init", str(self.project), *files, "--folds", f"{folder}/train.csv:fold"]) == 0

    def line(self, *more: object, model: str = "m") -> list[str]:
        """A command line that trains a tiny network; a flag that comes again wins."""
        flags = "--backbone timm:test_efficientnet --weights random --epochs 2 --size 32 --views orig --workers 0"
        flags += " --batch-size 8 --device cpu --precision float32"
        start = ["train", str(self.project), model, "--images", str(self.photos)]
        return [*start, *flags.split(), *map(str, more)]

    def run(self, seen: str, model: str = "m") -> Path:
        return self.project / "runs" / model / seen

    def tensors(self, seen: str, model: str = "m") -> dict[str, torch.Tensor]:
        return read_state(self.run(seen, model))[0]
