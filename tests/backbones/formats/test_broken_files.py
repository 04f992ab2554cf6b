"""Files that are broken, hold the wrong thing, or would have to be unpickled: one clear line, and nothing is loaded."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backbones import Embeddings, align, as_embeddings, read_embeddings
from cv import FinblendError

IMAGES = ["a.jpg", "b.jpg", "c.jpg"]
VECTORS = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)


def refusal(spec: Path | str, names: Path | str | None = None) -> str:
    with pytest.raises(FinblendError) as caught:
        read_embeddings(spec, "train", names)
    assert "\n" not in str(caught.value)
    assert str(spec).rpartition(":")[0] in str(caught.value) or str(spec) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(IMAGES))
    return path


class Detonator:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("where", ["npz", "npy", "names.npy", "plain pickle"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, names: Path, where: str) -> None:
    mark, good = tmp_path / "loaded", tmp_path / "good.npy"
    bomb = np.array([Detonator(mark)] * 3, dtype=object)
    np.save(good, VECTORS)
    if where == "npz":
        np.savez(tmp_path / "bad.npz", image=bomb, embedding=VECTORS)
        assert "pickled Python objects" in refusal(tmp_path / "bad.npz")
    elif where == "names.npy":
        np.save(tmp_path / "bad.npy", bomb)
        with pytest.raises(FinblendError, match=r"bad\.npy"):
            read_embeddings(good, "train", tmp_path / "bad.npy")
    else:
        path = tmp_path / "bad.npy"
        if where == "npy":
            np.save(path, bomb)
        else:
            path.write_bytes(pickle.dumps(Detonator(mark)))
        refusal(path, names)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".csv", ".safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, names: Path, suffix: str) -> None:
    assert "no such file" in refusal(tmp_path / f"gone{suffix}", names)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage, not an array", b"\x93NUMPY", b"PK\x03\x04", b"PAR1"])
def test_garbage_is_named(tmp_path: Path, names: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    refusal(path, names)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_text_under_the_name_of_arrays_is_not_taken_for_a_pickle(tmp_path: Path, names: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("image,embedding\na.jpg,0.5\n")
    assert refusal(path, names) == f"{path}: is no {suffix[1:]} file (it begins with 'image,embedding')"
    path.write_bytes(bytes(range(1, 200)))
    assert refusal(path, names) == f"{path}: is no {suffix[1:]} file"
    path.write_bytes(b"")
    assert "cannot be read" in refusal(path, names)
    path.write_bytes(pickle.dumps([1, 2]))
    assert "pickled Python objects" in refusal(path, names)


def write_npz(path: Path) -> None:
    np.savez(path, image=np.array(IMAGES), embedding=VECTORS)


def write_squeezed_npz(path: Path) -> None:
    np.savez_compressed(path, image=np.array(IMAGES), embedding=VECTORS)


def write_npy(path: Path) -> None:
    np.save(path, VECTORS)


def write_parquet(path: Path) -> None:
    pl.DataFrame({"image": IMAGES, "embedding": VECTORS.tolist()}).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("e.npz", write_npz),
        ("squeezed.npz", write_squeezed_npz),
        ("e.npy", write_npy),
        ("e.parquet", write_parquet),
    ],
)
def test_a_file_cut_short_is_refused_wherever_it_was_cut(
    tmp_path: Path, names: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        refusal(path, names)


@pytest.mark.parametrize(("name", "write"), [("e.npz", write_npz), ("squeezed.npz", write_squeezed_npz)])
def test_a_damaged_zip_is_read_or_refused_but_never_a_traceback(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_embeddings(path, "train")
        except FinblendError:
            refused += 1
    assert refused > 10


def test_a_file_under_the_other_suffix_is_refused(tmp_path: Path, names: Path) -> None:
    write_npy(tmp_path / "e.npy")
    write_npz(tmp_path / "e.npz")
    (tmp_path / "npy.npz").write_bytes((tmp_path / "e.npy").read_bytes())
    (tmp_path / "npz.npy").write_bytes((tmp_path / "e.npz").read_bytes())
    refusal(tmp_path / "npy.npz")
    refusal(tmp_path / "npz.npy", names)


def test_a_single_number_is_no_embedding_and_no_list_of_names(tmp_path: Path, names: Path) -> None:
    path, table = tmp_path / "e.npz", tmp_path / "e.npy"
    np.savez(path, image=np.array(IMAGES), embedding=VECTORS, epoch=np.int64(5))
    np.save(table, VECTORS)
    assert read_embeddings(path, "train").images == IMAGES
    assert "epoch" in refusal(f"{path}:epoch")
    with pytest.raises(FinblendError, match="epoch"):
        read_embeddings(table, "train", f"{path}:epoch")


@pytest.mark.parametrize("key", ["original_index", "pred_idx"])
def test_a_single_number_in_the_first_place_layout_is_refused_or_passed_over(tmp_path: Path, key: str) -> None:
    path = tmp_path / "e.npz"
    good = {"original_index": np.arange(3), "pred_idx": np.zeros((3, 5), np.int64)}
    np.savez(path, embed_features1=VECTORS, **(good | {key: np.int64(3)}))
    if key == "original_index":
        refusal(path)
    else:
        assert "pred_idx" not in read_embeddings(path, "train").predictions


def test_photos_without_an_embedding_are_named() -> None:
    photos = pl.DataFrame({"image": [*IMAGES, "d.jpg", "e.jpg"], "row": [0, 1, 2, 3, 4]})
    made = as_embeddings((IMAGES, VECTORS), "train")
    with pytest.raises(FinblendError, match=r"no embedding for the train photo d\.jpg$"):
        align(made, photos[:4], "train")
    with pytest.raises(FinblendError, match=r"no embedding for the train photos d\.jpg, e\.jpg$"):
        align(made, photos, "train")


def test_rows_of_the_catalogue_are_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    np.savez(path, embed_features1=VECTORS, original_index=np.arange(3.0))
    photos = pl.DataFrame({"image": IMAGES, "row": [0, 1, 2]})
    with pytest.raises(FinblendError, match="original_index must be whole numbers"):
        align(read_embeddings(path, "train"), photos, "train")


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("embedding", [[0.5, 1.5], [0.5], [0.5, 1.5]]),
        pl.Series("embedding", [[0.5, 1.5], [0.5, None], [0.5, 1.5]]),
        pl.Series("embedding", [[0.5, 1.5], None, [0.5, 1.5]]),
        pl.Series("embedding", ["[0.5, 1.5]", "[0.5]", "[0.5, 1.5]"]),
        pl.Series("embedding", ["[0.5, 1.5]", "[0.5, x]", "[0.5, 1.5]"]),
        pl.Series("embedding", ["[0.5, 1.5]", None, "[0.5, 1.5]"]),
        pl.Series("e0", [0.5, None, 0.5]),
    ],
    ids=["ragged", "hole in a list", "no list", "ragged text", "text", "no text", "hole"],
)
def test_a_bad_row_of_a_table_is_named(tmp_path: Path, column: pl.Series) -> None:
    path = tmp_path / "e.parquet"
    pl.DataFrame([pl.Series("image", IMAGES), column]).write_parquet(path)
    assert "row 2" in refusal(path)


def test_the_first_row_without_a_list_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"image": IMAGES, "embedding": [None, [0.5], [1.5]]}).write_parquet(tmp_path / "e.parquet")
    assert "row 1" in refusal(tmp_path / "e.parquet")


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.Array(pl.Float32, 4), pl.String, pl.Float32])
def test_a_table_without_rows_is_refused(tmp_path: Path, kind: pl.DataType) -> None:
    pl.DataFrame({"image": [], "e": []}, schema={"image": pl.String, "e": kind}).write_parquet(tmp_path / "e.parquet")
    refusal(tmp_path / "e.parquet")


@pytest.mark.parametrize(
    "text",
    ["image,e0,e1\na.jpg,1,2\nb.jpg,3,4\n", 'image,embedding\na.jpg,"[1, 2]"\nb.jpg,"[3, 4]"\n'],
    ids=["columns", "text"],
)
def test_whole_numbers_in_a_csv_are_codes_and_no_embeddings(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.csv").write_text(text)
    assert "floating point" in refusal(tmp_path / "e.csv")


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.complex64, np.bool_])
def test_only_floating_point_is_taken(tmp_path: Path, names: Path, kind: type) -> None:
    np.save(tmp_path / "e.npy", VECTORS.astype(kind))
    assert "floating point" in refusal(tmp_path / "e.npy", names)


def test_the_largest_float16_stays_what_it_is_and_a_float64_too_large_is_refused() -> None:
    photos = pl.DataFrame({"image": IMAGES, "row": [0, 1, 2]})
    high = np.full((3, 4), 65504.0, np.float16)
    found = align(as_embeddings((IMAGES, high), "train"), photos, "train").views["orig"]
    np.testing.assert_array_equal(found, np.full((3, 4), 65504.0, np.float32))
    with pytest.raises(FinblendError, match=r"row 1: the embedding of a\.jpg holds NaN or infinite"):
        align(as_embeddings((IMAGES, np.full((3, 4), 1e39)), "train"), photos, "train")


@pytest.mark.parametrize("shape", [(3,), (3, 0), (0, 4), (3, 2, 2)])
def test_embeddings_are_a_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(FinblendError, match="must be a table"):
        Embeddings({"orig": np.ones(shape)}, IMAGES)


def test_views_of_one_network_have_the_same_photos() -> None:
    with pytest.raises(FinblendError, match=r"hflip.*2 rows.*3"):
        Embeddings({"orig": VECTORS, "hflip": VECTORS[:2]}, IMAGES)


def test_what_stands_in_place_of_names_is_told(tmp_path: Path) -> None:
    path = tmp_path / "features.npz"
    for ids, told in ((np.array([1.0, 2.0, 3.0]), "image_id float64[3]"), (np.array([1, 2]), "image_id int64[2]")):
        np.savez(path, features=VECTORS, image_id=ids)
        assert f"no image names for its rows (it has features float32[3, 40], {told}); give" in refusal(path)


def test_a_row_without_an_embedding_is_named(tmp_path: Path) -> None:
    table = pl.DataFrame({"image": IMAGES, "embedding": [VECTORS[0].tolist(), None, VECTORS[2].tolist()]})
    table.write_parquet(tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").endswith("a.parquet: row 2: embedding is empty")
