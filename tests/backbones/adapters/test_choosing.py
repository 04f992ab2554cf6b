"""Which array of a file is meant: found where it is plain, refused with what the file holds where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backbones import read_embeddings
from cv import FinblendError

IMAGES = ["a.jpg", "b.jpg", "c.jpg"]
ONES = np.ones((3, 2), np.float32)
HALVES = np.full((3, 4), 0.5, np.float32)


def refusal(spec: object, names: object = None, split: str = "train") -> str:
    with pytest.raises(FinblendError) as caught:
        read_embeddings(str(spec), split, None if names is None else str(names))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(IMAGES))
    return path


def test_two_tables_in_one_file_are_listed_with_the_flag_that_chooses(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, image=np.array(IMAGES), early=ONES, late=HALVES)
    told = refusal(path)
    for part in ("early float32[3, 2]", "late float32[3, 4]", f"--train {path}:KEY"):
        assert part in told
    np.testing.assert_array_equal(read_embeddings(f"{path}:late", "train").views["orig"], HALVES)


def test_two_lists_of_names_are_listed_with_the_flag_that_chooses(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, photos=np.array(IMAGES), kinds=np.array(["s"] * 3), embedding=ONES)
    told = refusal(path, split="test")
    assert f"--test-names {path}:KEY" in told
    assert "photos" in told
    assert "kinds" in told
    assert read_embeddings(path, "test", f"{path}:photos").images == IMAGES


def test_a_key_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, image=np.array(IMAGES), embedding=ONES)
    told = refusal(f"{path}:embeddings")
    assert "no key 'embeddings'" in told
    assert "embedding float32[3, 2]" in told
    frame = tmp_path / "one.parquet"
    pl.DataFrame({"image": IMAGES, "embedding": ONES.tolist()}).write_parquet(frame)
    assert "'vector'" in refusal(f"{frame}:vector")


def test_two_list_columns_need_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "two.parquet"
    pl.DataFrame({"image": IMAGES, "early": ONES.tolist(), "late": HALVES.tolist()}).write_parquet(path)
    told = refusal(path)
    assert "early, late" in told
    assert "FILE:COLUMN" in told
    np.testing.assert_array_equal(read_embeddings(f"{path}:early", "train").views["orig"], ONES)


def test_each_split_takes_its_own_half_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    parts = {"train_image": np.array(IMAGES), "train_embedding": ONES}
    np.savez(path, **parts, test_image=np.array(["t.jpg"]), test_embedding=ONES[:1] * 3)
    assert read_embeddings(path, "train").images == IMAGES
    assert read_embeddings(path, "test").images == ["t.jpg"]
    assert read_embeddings(path, "test").views["orig"].tolist() == [[3.0, 3.0]]


def test_files_without_names_ask_for_them(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", ONES)
    np.savez(tmp_path / "e.npz", embedding=ONES)
    for name in ("e.npy", "e.npz"):
        assert "--train-names FILE" in refusal(tmp_path / name)
        assert "--test-names FILE" in refusal(tmp_path / name, split="test")


@pytest.mark.parametrize("count", [2, 4])
def test_a_wrong_count_of_names_states_both_numbers(tmp_path: Path, count: int) -> None:
    np.save(tmp_path / "e.npy", ONES)
    (tmp_path / "n.json").write_text(json.dumps([f"{i}.jpg" for i in range(count)]))
    told = refusal(tmp_path / "e.npy", tmp_path / "n.json")
    assert "3 embeddings" in told
    assert f"{count} image names" in told


@pytest.mark.parametrize("kind", ["txt", "json", "csv", "parquet", "npy", "npz"])
def test_names_are_read_from_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"n.{kind}"
    np.save(tmp_path / "e.npy", ONES)
    {
        "txt": lambda: path.write_text("\n".join(IMAGES) + "\n"),
        "json": lambda: path.write_text(json.dumps({"test": ["x"], "train": IMAGES})),
        "csv": lambda: pl.DataFrame({"row": [0, 1, 2], "image": IMAGES}).write_csv(path),
        "parquet": lambda: pl.DataFrame({"row": [0, 1, 2], "image_id": IMAGES}).write_parquet(path),
        "npy": lambda: np.save(path, np.array(IMAGES)),
        "npz": lambda: np.savez(path, train=np.array(IMAGES), test=np.array(["x"])),
    }[kind]()
    assert read_embeddings(tmp_path / "e.npy", "train", path).images == IMAGES


def test_an_empty_line_among_names_is_refused_with_its_row(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", ONES)
    (tmp_path / "n.txt").write_text("a.jpg\n\nb.jpg\n")
    assert "row 2" in refusal(tmp_path / "e.npy", tmp_path / "n.txt")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", ONES)
    (tmp_path / "n.txt").write_text("\n".join(IMAGES), encoding="utf-8-sig")
    assert read_embeddings(tmp_path / "e.npy", "train", tmp_path / "n.txt").images == IMAGES


def test_shards_of_different_width_are_refused_by_name(tmp_path: Path, names: Path) -> None:
    np.save(tmp_path / "e_0.npy", ONES)
    np.save(tmp_path / "e_1.npy", HALVES)
    assert "e_1.npy" in refusal(tmp_path / "e_*.npy", names)


def test_only_npy_comes_in_several_files(tmp_path: Path) -> None:
    for i in range(2):
        np.savez(tmp_path / f"e_{i}.npz", image=np.array(IMAGES), embedding=ONES)
    assert "2 files" in refusal(tmp_path / "e_*.npz")


def test_a_colon_in_a_file_name_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "run:1.npz"
    np.savez(path, image=np.array(IMAGES), early=ONES, late=HALVES)
    np.testing.assert_array_equal(read_embeddings(f"{path}:early", "train").views["orig"], ONES)


def test_a_column_of_whole_numbers_is_not_taken_for_a_dimension(tmp_path: Path) -> None:
    """`image, label, e0, e1`: a class number in the embedding would swamp every cosine, silently."""
    path = tmp_path / "labelled.parquet"
    pl.DataFrame({"image": IMAGES, "label": [7, 8, 9], "e0": [0.5, 1.5, 2.5], "e1": [1.5, 0.5, 2.5]}).write_parquet(
        path
    )
    told = refusal(path)
    assert "label" in told
