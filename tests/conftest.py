"""What several test files share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

# the same examples on every machine, and no deadline: these machines are noisy and numba compiles on first use
settings.register_profile("finblend", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("finblend")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says so."""
    folder = Path(os.environ.get("FINBLEND_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "happywhale" / "train.csv").is_file():
        pytest.skip(f"no real data in {folder}; set FINBLEND_DATA")
    return folder


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


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A small catalogue on disk."""
    return Small(tmp_path / "data")


@pytest.fixture(scope="session")
def tuned_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`planted.tuned_pair`; to be copied, not changed."""
    from planted import tuned_pair

    return tuned_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def project(tuned_template: Path, tmp_path: Path) -> Path:
    """A copy of the tuned pair; files whose tests need another project have a fixture of this name."""
    shutil.copytree(tuned_template, tmp_path / "P")
    return tmp_path / "P"


@pytest.fixture
def sets(project: Path, tmp_path: Path) -> Path:
    """Pseudo-labels of that project, a set for each fold."""
    from planted import plain, sets_by_hand

    return sets_by_hand(project, tmp_path / "p.csv", plain)
