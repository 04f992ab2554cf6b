"""A small catalogue with embeddings, for tests that need some project quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl


class Small:
    """A catalogue of 60 photos of 14 individuals in two species, 12 test photos, and embeddings that tell apart."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.folder = folder
        counts = [8, 8, 7, 7, 6, 6, 5, 4, 3, 2] + [1] * 4
        who = np.repeat(np.arange(len(counts)), counts)
        self.train_images = [f"tr{i:03d}.jpg" for i in range(len(who))]
        self.test_images = [f"te{i:03d}.jpg" for i in range(12)]
        self.individuals = [f"id{i:02d}" for i in who]
        self.species = ["beluga" if i % 2 else "fin_whale" for i in who]
        look = rng.standard_normal((len(counts) + 1, 16)) * 2
        self.answers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, len(counts), len(counts)]
        self.train = (look[who] + rng.standard_normal((len(who), 16))).astype(np.float32)
        self.test = (look[self.answers] + rng.standard_normal((12, 16))).astype(np.float32)
        folder.mkdir(parents=True, exist_ok=True)
        self.train_csv, self.sample_csv = folder / "train.csv", folder / "sample_submission.csv"
        pl.DataFrame(
            {"image": self.train_images, "species": self.species, "individual_id": self.individuals}
        ).write_csv(self.train_csv)
        pl.DataFrame({"image": self.test_images, "predictions": ["new_individual"] * 12}).write_csv(self.sample_csv)

    def noisy(self, seed: int, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of another network."""
        rng = np.random.default_rng(seed)
        mixing = rng.standard_normal((16, 24))
        out = [(a + noise * rng.standard_normal(a.shape)) @ mixing for a in (self.train, self.test)]
        return out[0].astype(np.float32), out[1].astype(np.float32)

    def write_npz(self, name: str, train: np.ndarray, test: np.ndarray) -> Path:
        """The named layout: one file for both splits."""
        path = self.folder / name
        np.savez(
            path,
            train_image=np.array(self.train_images),
            train_embedding=train,
            test_image=np.array(self.test_images),
            test_embedding=test,
        )
        return path
