"""The store: what goes in comes out, mapped and not copied, and a failed or killed write changes nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backbones import Embeddings, Manifest, Seen, Store, write_store
from cv import FinblendError

IMAGES = {"train": ["a.jpg", "b.jpg", "ü c.jpg"], "test": ["t.jpg"]}
RNG = np.random.default_rng(0)


def embeddings(split: str, scale: float = 1.0, width: int = 5) -> Embeddings:
    n = len(IMAGES[split])
    array = (scale * np.arange(1, n * width + 1).reshape(n, width)).astype(np.float32)
    return Embeddings({"orig": array, "hflip": -array[:, :3]}, IMAGES[split], source=f"{split}.npz")


def write(folder: Path, scale: float = 1.0, **facts: str) -> Store:
    return write_store(folder, "b7", Seen("fold", 2), {s: embeddings(s, scale) for s in IMAGES}, facts)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    train=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=floats),
    test=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=floats),
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=18, max_size=18, unique=True),
)
def test_round_trip(train: np.ndarray, test: np.ndarray, names: list[str]) -> None:
    images = {"train": names[: len(train)], "test": names[9 : 9 + len(test)]}
    arrays = {"train": train, "test": test}
    splits = {split: Embeddings({"orig": arrays[split]}, images[split]) for split in images}
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "m" / "frozen", "m", Seen("frozen"), splits)
        for split, given_names in images.items():
            assert store.images(split) == given_names
            # bit for bit: minus zero stays minus zero
            assert store.embedding(split, "orig").tobytes() == arrays[split].tobytes()
        store.verify(images)


def test_views_widths_and_predictions_come_back_in_order(tmp_path: Path) -> None:
    said = {"pred_idx": np.array([[3, 1], [0, 2], [5, 4]]), "pred_species": np.array(["x", "y", "z"])}
    splits = {
        split: Embeddings(e.views, e.images, predictions={name: a[: len(e)] for name, a in said.items()})
        for split, e in ((s, embeddings(s)) for s in IMAGES)
    }
    store = write_store(tmp_path / "store", "b7", Seen("full"), splits)
    assert store.views == ["orig", "hflip"]
    assert store.manifest.views == {"orig": 5, "hflip": 3}
    np.testing.assert_array_equal(store.embedding("train", "hflip"), embeddings("train").views["hflip"])
    np.testing.assert_array_equal(store.prediction("train", "pred_idx"), said["pred_idx"])
    assert store.prediction("test", "pred_species").tolist() == ["x"]


def test_arrays_are_read_only_views_of_the_file(tmp_path: Path) -> None:
    array = write(tmp_path / "store").embedding("train", "orig")
    assert not array.flags.owndata
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1.0
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, pa.Array | pa.Buffer)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")
def test_arrays_lie_in_the_mapping_of_their_own_file(tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    store = write(tmp_path / "store")
    for split in IMAGES:
        address = store.embedding(split, "orig").__array_interface__["data"][0]
        spans = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        at = [s[-1] for s in spans if int(s[0].split("-")[0], 16) <= address < int(s[0].split("-")[1], 16)]
        assert at == [str(tmp_path / "store" / f"{split}.arrow")]
    assert pa.total_allocated_bytes() == before


def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    store = write(tmp_path / "store", weights_sha256="ab" * 32, transform="224 px, mirrored", made_by="9.9")
    manifest = store.manifest
    assert (manifest.model, manifest.seen, store.seen) == ("b7", "fold-2", Seen("fold", 2))
    assert manifest.photos == {"train": 3, "test": 1}
    assert (manifest.weights_sha256, manifest.transform, manifest.made_by) == ("ab" * 32, "224 px, mirrored", "9.9")
    for name, digest in manifest.files.items():
        assert hashlib.sha256((tmp_path / "store" / name).read_bytes()).hexdigest() == digest
    assert sorted(manifest.files) == ["test.arrow", "train.arrow"]
    assert Manifest.load(tmp_path / "store" / "manifest.json") == manifest


def test_the_content_hash_tells_embeddings_and_nothing_else(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", transform="told differently")
    changed = write(tmp_path / "changed", scale=2.0)
    assert one.manifest.content_sha256 == other.manifest.content_sha256 != changed.manifest.content_sha256


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.update(colour="blue"), "unknown key 'colour'"),
        (lambda m: m.update(format=2), "format 2"),
        (lambda m: m.pop("views"), "views"),
        (lambda m: m.update(seen="fold-x"), "fold-x"),
        (lambda m: m.update(seen="half"), "half"),
    ],
)
def test_a_changed_manifest_is_refused_by_what_is_wrong(
    tmp_path: Path, change: Callable[[dict], object], told: str
) -> None:
    write(tmp_path / "store")
    edit(tmp_path / "store" / "manifest.json", change)
    with pytest.raises(FinblendError, match=told):
        _ = Store(tmp_path / "store").seen


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "store")
    (tmp_path / "store" / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(FinblendError, match=r"manifest\.json"):
        _ = Store(tmp_path / "store").manifest


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"x" * len(raw)])
def test_a_damaged_arrow_file_is_named_with_the_way_out(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write(tmp_path / "store")
    path = tmp_path / "store" / "test.arrow"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FinblendError, match=r"test\.arrow.*--replace"):
        Store(tmp_path / "store").embedding("test", "orig")


@pytest.mark.parametrize(
    "images",
    [
        {"train": IMAGES["train"][::-1], "test": IMAGES["test"]},
        {"train": IMAGES["train"][:2], "test": IMAGES["test"]},
        {"train": IMAGES["train"], "test": ["u.jpg"]},
        {"train": IMAGES["train"], "test": ["t.jpg", "u.jpg"]},
    ],
)
def test_verify_refuses_other_photos_and_another_order(tmp_path: Path, images: dict[str, list[str]]) -> None:
    store = write(tmp_path / "store")
    store.verify(IMAGES)
    with pytest.raises(FinblendError, match="--replace"):
        store.verify(images)


def test_train_and_test_of_different_width_are_refused(tmp_path: Path) -> None:
    splits = {"train": embeddings("train", width=5), "test": embeddings("test", width=6)}
    with pytest.raises(FinblendError, match=r"test\.npz.*6.*5"):
        write_store(tmp_path / "store", "b7", Seen("frozen"), splits)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_store_and_nothing_else(tmp_path: Path) -> None:
    def refuse(_: Manifest) -> None:
        raise FinblendError("no")

    old = write(tmp_path / "store").embedding("train", "orig").copy()
    splits = {split: embeddings(split, 7.0) for split in IMAGES}
    with pytest.raises(FinblendError, match="no"):
        write_store(tmp_path / "store", "b7", Seen("fold", 2), splits, accept=refuse)
    np.testing.assert_array_equal(Store(tmp_path / "store").embedding("train", "orig"), old)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_killed_write_leaves_the_old_store(tmp_path: Path) -> None:
    old = write(tmp_path / "store").embedding("train", "orig").copy()
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_store import IMAGES, Seen, embeddings, write_store\n"
        "splits = {split: embeddings(split, 7.0) for split in IMAGES}\n"
        "write_store(Path(sys.argv[1]), 'b7', Seen('fold', 2), splits, accept=lambda manifest: os._exit(9))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store"), str(Path(__file__).parent)]
    assert subprocess.run(command, check=False).returncode == 9
    store = Store(tmp_path / "store")
    np.testing.assert_array_equal(store.embedding("train", "orig"), old)
    store.verify(IMAGES)


def test_a_store_in_use_keeps_its_values_when_it_is_replaced(tmp_path: Path) -> None:
    array = write(tmp_path / "store").embedding("train", "orig")
    old = array.copy()
    write(tmp_path / "store", scale=3.0)
    np.testing.assert_array_equal(array, old)
    np.testing.assert_array_equal(Store(tmp_path / "store").embedding("train", "orig"), 3 * old)


@given(st.one_of(st.just(Seen("frozen")), st.just(Seen("full")), st.integers(0, 99).map(lambda k: Seen("fold", k))))
def test_seen_is_parsed_from_its_text(seen: Seen) -> None:
    assert Seen.parse(str(seen)) == seen


@pytest.mark.parametrize("text", ["fold", "frozen-1", "full-0", "half", "", "fold-x", "fold--1", "Fold-1"])
def test_seen_refuses_what_it_never_writes(text: str) -> None:
    with pytest.raises(FinblendError):
        Seen.parse(text)
