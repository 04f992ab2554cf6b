"""The same embeddings from Python and from files make the same store; what a file says beside them is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small import Small

from backbones import Embeddings
from cv import FinblendError
from ensemble import Project, init, register


@pytest.fixture
def project(small: Small, tmp_path: Path) -> Path:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    return tmp_path / "P"


def as_arrays(images: list[str], array: np.ndarray) -> Any:
    return images, array


def as_lists(images: list[str], array: np.ndarray) -> Any:
    return iter(images), array.astype(np.float64).tolist()


def as_views(images: list[str], array: np.ndarray) -> Any:
    return np.array(images), {"orig": array}


def as_embeddings(images: list[str], array: np.ndarray) -> Any:
    return Embeddings({"orig": array}, images)


def as_polars_lists(images: list[str], array: np.ndarray) -> Any:
    return pl.DataFrame({"embedding": array.tolist(), "image": images})


def as_polars_columns(images: list[str], array: np.ndarray) -> Any:
    return pl.DataFrame({"image": images}).hstack(pl.DataFrame(array, schema=[f"e{i}" for i in range(array.shape[1])]))


def as_pandas_lists(images: list[str], array: np.ndarray) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"image": images, "embedding": list(array)}, index=range(100, 100 + len(images)))


def as_pandas_columns(images: list[str], array: np.ndarray) -> Any:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(array, columns=[f"e{i}" for i in range(array.shape[1])])
    frame.insert(3, "image_id", images)
    return frame


@pytest.mark.parametrize(
    "give",
    [
        as_arrays,
        as_lists,
        as_views,
        as_embeddings,
        as_polars_lists,
        as_polars_columns,
        as_pandas_lists,
        as_pandas_columns,
    ],
)
def test_python_and_files_make_the_same_store(project: Path, small: Small, tmp_path: Path, give: Any) -> None:
    train, test = small.noisy(1)
    path = small.write_npz("m.npz", train, test)
    report = register(project, "m", frozen=True, train=path, test=path)
    init(tmp_path / "Q", train=pl.read_csv(small.train_csv), test=pl.read_csv(small.sample_csv))
    order = np.random.default_rng(3).permutation(60)
    given = give([small.train_images[i] for i in order], train[order])
    assert register(tmp_path / "Q", "m", frozen=True, train=given, test=give(small.test_images, test)) == report
    one, other = (Project.open(folder).stores()["m"]["frozen"] for folder in (project, tmp_path / "Q"))
    assert one.manifest.content_sha256 == other.manifest.content_sha256
    assert one.manifest.images_sha256 == other.manifest.images_sha256
    np.testing.assert_array_equal(other.embedding("train", "orig"), train)


@pytest.mark.parametrize("given", [3, None, np.ones((60, 4), np.float32), {"image": ["a"]}, ([], [], [])])
def test_anything_else_is_refused_with_what_is_taken(project: Path, small: Small, given: Any) -> None:
    with pytest.raises(FinblendError, match=r"train: expected a path, \(images, array\), a polars or a pandas frame"):
        register(project, "m", frozen=True, train=given, test=(small.test_images, small.test))


def test_names_go_with_files_only(project: Path, small: Small) -> None:
    given = {"train": (small.train_images, small.train), "test": (small.test_images, small.test)}
    with pytest.raises(FinblendError, match="--train-names goes with a file"):
        register(project, "m", frozen=True, train_names="names.txt", **given)


def test_a_view_gets_its_name_and_several_keep_theirs(project: Path, small: Small) -> None:
    given = {"train": (small.train_images, small.train), "test": (small.test_images, small.test)}
    assert register(project, "fin", frozen=True, view="backfin", **given)["views"] == {"backfin": 16}
    train, test = small.noisy(1)
    views = {
        "train": (small.train_images, {"orig": train, "hflip": train[:, ::-1]}),
        "test": (small.test_images, {"orig": test, "hflip": test[:, ::-1]}),
    }
    assert register(project, "two", frozen=True, **views)["views"] == {"orig": 24, "hflip": 24}
    with pytest.raises(FinblendError, match=r"orig, hflip.*--view"):
        register(project, "named", frozen=True, view="backfin", **views)
    with pytest.raises(FinblendError, match="views and widths"):
        register(project, "mixed", frozen=True, train=views["train"], test=given["test"])


def write_first_place(path: Path, index: np.ndarray, array: np.ndarray, label: np.ndarray) -> Path:
    n = len(index)
    np.savez(
        path,
        original_index=index,
        label=label,
        embed_features1=array,
        embed_features2=array[:, ::-1],
        pred_species=np.arange(2.0 * n).reshape(n, 2),
        pred_idx=np.tile(index[:, None], 5),
        pred_logit=np.ones((n, 5), np.float32),
    )
    return path


def test_the_first_place_layout_keeps_its_views_predictions_and_class_order(project: Path, small: Small) -> None:
    order = np.random.default_rng(3).permutation(60)
    label = np.unique(small.individuals, return_inverse=True)[1]
    train = write_first_place(small.folder / "train_results.npz", order, small.train[order], label[order])
    test = write_first_place(small.folder / "test_results.npz", np.arange(12), small.test, np.zeros(12, int))
    classes = small.folder / "classes.json"
    order_of_classes = json.dumps([f"id{n:02d}" for n in range(60)])
    classes.write_text(order_of_classes)
    report = register(project, "b7", frozen=True, train=train, test=test, labels=classes)
    assert report["views"] == {"orig": 16, "hflip": 16}
    assert report["predictions"] == ["pred_idx", "pred_logit", "pred_species"]
    assert report["warnings"] == []
    store = Project.open(project).stores()["b7"]["frozen"]
    np.testing.assert_array_equal(store.embedding("train", "orig"), small.train)
    assert store.prediction("train", "pred_idx")[:, 0].tolist() == list(range(60))
    assert (store.folder / "classes.json").read_text() == order_of_classes


def test_rows_numbered_in_another_table_raise_a_warning(project: Path, small: Small) -> None:
    label = np.unique(small.individuals, return_inverse=True)[1]
    train = write_first_place(small.folder / "train_results.npz", np.arange(60), small.train, np.roll(label, 7))
    test = write_first_place(small.folder / "test_results.npz", np.arange(12), small.test, np.zeros(12, int))
    warning, other = register(project, "b7", frozen=True, train=train, test=test)["warnings"]
    assert "contradict" in warning
    assert "pred_idx and pred_logit have no class order" in other


def test_row_numbers_point_at_the_table_as_it_was_given(small: Small, tmp_path: Path) -> None:
    """A row without a known individual plays no part, yet it is counted."""
    table = pl.read_csv(small.train_csv)
    stray = pl.DataFrame({"image": ["stray.jpg"], "species": ["beluga"], "individual_id": ["unknown"]})
    pl.concat([table[:10], stray, table[10:]]).write_csv(small.train_csv)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    given = np.insert(small.train, 10, 9.0, axis=0)
    train = write_first_place(small.folder / "train_results.npz", np.arange(61), given, np.arange(61))
    test = write_first_place(small.folder / "test_results.npz", np.arange(12), small.test, np.zeros(12, int))
    register(tmp_path / "P", "b7", frozen=True, train=train, test=test)
    store = Project.open(tmp_path / "P").stores()["b7"]["frozen"]
    np.testing.assert_array_equal(store.embedding("train", "orig"), small.train)
