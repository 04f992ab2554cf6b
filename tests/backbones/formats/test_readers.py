"""One contract for every layout: the same photos, written in any order of rows, come back aligned and equal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backbones import align, read_embeddings
from cv import FinblendError

NAMES = [f"photo {i}.jpg" for i in range(12)]
ROWS = [3, 4, 7, 8, 9, 11, 20, 21, 22, 23, 30, 41]
UNKNOWN_ROW = 99
PHOTOS = pl.DataFrame({"image": NAMES, "row": ROWS})
# values that every format holds exactly, bfloat16 and float16 included
VECTORS = np.random.default_rng(0).choice([-2.0, -0.75, 0.5, 1.5, 48.0], size=(12, 7)).astype(np.float32)
SHUFFLED = np.random.default_rng(1).permutation(12)


def row_of(image: str) -> int:
    return ROWS[NAMES.index(image)] if image in NAMES else UNKNOWN_ROW


def save_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """The format by hand, from its specification: header length, JSON header, bytes."""
    header, blob = {}, b""
    for name, (kind, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob)


class ReaderContract:
    """Subclass it, write one layout, and every rule is checked on it."""

    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        """Write photos in this order; return what stands behind --train and --train-names."""
        raise NotImplementedError

    def read(self, folder: Path, images: list[str], array: np.ndarray) -> np.ndarray:
        spec, names = self.write(folder, images, array)
        aligned = align(read_embeddings(spec, "train", names), PHOTOS, "train")
        assert aligned.images == NAMES
        return np.asarray(aligned.views["orig"])

    def refusal(self, folder: Path, images: list[str], array: np.ndarray) -> str:
        with pytest.raises(FinblendError) as caught:
            self.read(folder, images, array)
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)
        return str(caught.value)

    def test_shuffled_rows_come_back_aligned_and_equal(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, [NAMES[i] for i in SHUFFLED], VECTORS[SHUFFLED])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, VECTORS)

    def test_a_missing_photo_is_named(self, tmp_path: Path) -> None:
        assert NAMES[5] in self.refusal(tmp_path, NAMES[:5] + NAMES[6:], np.delete(VECTORS, 5, axis=0))

    def test_an_unknown_photo_is_named(self, tmp_path: Path) -> None:
        told = self.refusal(tmp_path, [*NAMES[:-1], "stranger.jpg"], VECTORS)
        assert "stranger.jpg" in told or str(UNKNOWN_ROW) in told

    def test_a_surplus_photo_is_named(self, tmp_path: Path) -> None:
        told = self.refusal(tmp_path, [*NAMES, "stranger.jpg"], np.vstack([VECTORS, VECTORS[:1]]))
        assert "stranger.jpg" in told or str(UNKNOWN_ROW) in told

    def test_a_repeated_photo_is_named_with_its_row(self, tmp_path: Path) -> None:
        told = self.refusal(tmp_path, [*NAMES, NAMES[3]], np.vstack([VECTORS, VECTORS[3:4]]))
        assert "row 13" in told
        assert NAMES[3] in told

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_a_number_or_infinite_is_refused_with_row_and_photo(self, tmp_path: Path, bad: float) -> None:
        broken = VECTORS.copy()
        broken[7, 2] = bad
        told = self.refusal(tmp_path, [NAMES[i] for i in SHUFFLED], broken[SHUFFLED])
        assert NAMES[7] in told
        assert f"row {SHUFFLED.tolist().index(7) + 1}:" in told

    def test_a_zero_vector_is_refused_with_its_photo(self, tmp_path: Path) -> None:
        broken = VECTORS.copy()
        broken[4] = 0.0
        assert NAMES[4] in self.refusal(tmp_path, NAMES, broken)


class TestNamedNpz(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        np.savez(folder / "e.npz", names=np.array(images), features=array.astype(np.float64))
        return str(folder / "e.npz"), None


class TestNpzOfBothSplits(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        other = {"test_image": np.array(["t.jpg"]), "test_embedding": np.ones((1, 7), np.float16)}
        mine = {"train_image": np.array(images).astype("S"), "train_embedding": array.astype(np.float16)}
        np.savez_compressed(folder / "e.npz", **other, **mine)
        return str(folder / "e.npz"), None


class TestFirstPlaceNpz(ReaderContract):
    """`original_index` is the row of the catalogue's own table, in which some rows may play no part."""

    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        index = np.array([row_of(image) for image in images])
        n = len(images)
        np.savez(
            folder / "results.npz",
            original_index=index,
            label=np.arange(n),
            embed_features1=array,
            embed_features2=array[:, ::-1],
            pred_species=np.arange(4.0 * n).reshape(n, 4),
            pred_idx=np.tile(index[:, None], 5),
            pred_logit=np.ones((n, 5), np.float32),
        )
        return str(folder / "results.npz"), None

    def test_its_second_features_are_the_mirror_image_and_its_predictions_follow_the_rows(self, tmp_path: Path) -> None:
        spec, _ = self.write(tmp_path, [NAMES[i] for i in SHUFFLED], VECTORS[SHUFFLED])
        found = align(read_embeddings(spec, "train"), PHOTOS, "train")
        assert list(found.views) == ["orig", "hflip"]
        np.testing.assert_array_equal(found.views["hflip"], VECTORS[:, ::-1])
        assert found.predictions["pred_idx"][:, 0].tolist() == ROWS
        assert found.predictions["pred_species"].shape == (12, 4)
        assert found.labels is not None
        assert found.labels.tolist() == np.argsort(SHUFFLED).tolist()


class TestNpyShards(ReaderContract):
    """Eleven shards: `_2` comes before `_10`, as people mean it."""

    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        for shard, part in enumerate(np.array_split(array, 11)):
            np.save(folder / f"e_{shard}.npy", part)
        (folder / "names.txt").write_text("".join(f"{image}\r\n" for image in images), newline="")
        return str(folder / "e_*.npy"), str(folder / "names.txt")


class TestParquetList(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        frame = {"embedding": array.tolist(), "image": images, "width": [7] * len(images)}
        pl.DataFrame(frame).write_parquet(folder / "e.parquet")
        return str(folder / "e.parquet"), None


class TestParquetFixedWidth(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        pl.DataFrame({"image_id": images, "vector": pl.Series(array)}).write_parquet(folder / "e.parquet")
        return str(folder / "e.parquet") + ":vector", None


class TestCsvColumns(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        columns = {f"e{i}": array[:, i] for i in range(array.shape[1])}
        pl.DataFrame({"image": images, **columns}).write_csv(folder / "e.csv")
        return str(folder / "e.csv"), None


class TestCsvText(ReaderContract):
    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        texts = [str(vector) for vector in array.tolist()]
        pl.DataFrame({"image": images, "embedding": texts}).write_csv(folder / "e.csv")
        return str(folder / "e.csv"), None


class TestParquetText(ReaderContract):
    """What `str(array)` leaves behind: spaces and line breaks, no commas."""

    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        texts = [np.array_str(vector, max_line_width=20) for vector in array]
        pl.DataFrame({"image": images, "embedding": texts}).write_parquet(folder / "e.parquet")
        return str(folder / "e.parquet"), None


class TestSafetensors(ReaderContract):
    kind, convert = "F32", staticmethod(lambda array: array)

    def write(self, folder: Path, images: list[str], array: np.ndarray) -> tuple[str, str | None]:
        other = np.ones((2, 7), np.float32)
        save_safetensors(
            folder / "e.safetensors", {"query": ("F32", other), "gallery": (self.kind, self.convert(array))}
        )
        (folder / "names.json").write_text(json.dumps({"query": ["q1", "q2"], "gallery": images}))
        return str(folder / "e.safetensors") + ":gallery", str(folder / "names.json") + ":gallery"


class TestSafetensorsFloat16(TestSafetensors):
    kind, convert = "F16", staticmethod(lambda array: array.astype(np.float16))


class TestSafetensorsBfloat16(TestSafetensors):
    kind, convert = "BF16", staticmethod(lambda array: (array.view(np.uint32) >> 16).astype(np.uint16))
