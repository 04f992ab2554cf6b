"""What wildlife-tools computes is registered: the lines of docs/wildlife-datasets.md that save it, what they give."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from backbones.store import Store
from cv import FinblendError
from ensemble import init, register

N, WIDTH = 24, 5


@pytest.fixture
def dataset() -> SimpleNamespace:
    """As a `FeatureDataset`: an array, and the frame of its rows, not in the catalogue's order."""
    metadata = pd.DataFrame(
        {
            "image_id": range(N),
            "identity": [f"name {i % 6}" for i in range(N)],
            "path": [f"{i % 6}/{i}.jpg" for i in range(N)],
            "bbox": [[0.0, 0.0, 9.0, 9.0]] * N,
            "split": ["train" if i < 18 else "test" for i in range(N)],
        }
    )
    features = np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float32)
    order = np.random.default_rng(1).permutation(N)
    return SimpleNamespace(features=features[order], metadata=metadata.iloc[order], of=features)


@pytest.fixture
def project(dataset: SimpleNamespace, tmp_path: Path) -> Path:
    init(tmp_path / "P", train=dataset.metadata.sort_values("image_id"), split="split", folds=3)
    return tmp_path / "P"


def registered(project: Path, dataset: SimpleNamespace, file: str | Path) -> None:
    """Register a file that holds both parts, and find each photo's own vector in the store."""
    register(project, "mega", frozen=True, train=file, test=file)
    store = Store(project / "stores" / "mega" / "frozen")
    for split, rows in (("train", range(18)), ("test", range(18, N))):
        assert store.images(split) == [str(i) for i in rows]
        np.testing.assert_allclose(store.embedding(split, "orig"), dataset.of[list(rows)], rtol=1e-6)


@pytest.mark.parametrize("columns", [["image_id"], ["path"], ["path", "identity", "image_id"]])
def test_an_archive_with_the_names_of_its_rows(
    project: Path, dataset: SimpleNamespace, tmp_path: Path, columns: list[str]
) -> None:
    names = {column: dataset.metadata[column].to_numpy("U") for column in columns}
    np.savez(tmp_path / "mega.npz", features=dataset.features, **names)
    registered(project, dataset, tmp_path / "mega.npz")


def test_an_archive_whose_photos_are_numbers(project: Path, dataset: SimpleNamespace, tmp_path: Path) -> None:
    np.savez(tmp_path / "mega.npz", features=dataset.features, image_id=dataset.metadata["image_id"])
    registered(project, dataset, tmp_path / "mega.npz")


@pytest.mark.parametrize("dropped", [[], ["image_id"]])
def test_a_table_of_everything(project: Path, dataset: SimpleNamespace, tmp_path: Path, dropped: list[str]) -> None:
    table = dataset.metadata.drop(columns=dropped).assign(features=list(dataset.features))
    table.to_parquet(tmp_path / "mega.parquet")
    registered(project, dataset, f"{tmp_path / 'mega.parquet'}:features")


def test_a_path_that_is_no_photos_is_named(project: Path, dataset: SimpleNamespace, tmp_path: Path) -> None:
    paths = dataset.metadata["path"].to_numpy("U", copy=True)
    paths[3] = "else.jpg"
    np.savez(tmp_path / "mega.npz", features=dataset.features, path=paths)
    with pytest.raises(FinblendError, match=r"mega\.npz: else\.jpg: not among the catalogue's train photos$"):
        register(project, "mega", frozen=True, train=tmp_path / "mega.npz", test=tmp_path / "mega.npz")


def test_a_pickle_is_refused(project: Path, dataset: SimpleNamespace, tmp_path: Path) -> None:
    # as `FeatureDataset.save` writes
    (tmp_path / "mega.pkl").write_bytes(pickle.dumps({"features": dataset.features, "metadata": dataset.metadata}))
    with pytest.raises(FinblendError, match=r"unknown kind '\.pkl'; use \.npz"):
        register(project, "mega", frozen=True, train=tmp_path / "mega.pkl", test=tmp_path / "mega.pkl")
