"""`finblend embed` on photos that are missing, unreadable or truncated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from embedded import Photos, warned_of
from PIL import Image


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As many as in the process that is started: sums differ in the last bit with the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


def test_bad_photos_are_handled_or_named_in_one_list(photos: Photos) -> None:
    rgb = Image.open(photos.images / "tr000.jpg").convert("RGB")
    (photos.images / "tr001.jpg").unlink()
    (photos.images / "tr002.jpg").write_text("this is no photo")
    (photos.images / "tr003.jpg").write_bytes(b"")
    whole = (photos.images / "tr004.jpg").read_bytes()
    (photos.images / "tr004.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    rgb.convert("CMYK").save(photos.images / "tr005.jpg")
    Image.fromarray((np.arange(4800, dtype=np.uint16) * 13).reshape(60, 80)).save(photos.images / "tr006.jpg", "PNG")
    done = photos.embed("tiny", "--frozen", "--workers", "0", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert problems.keys() == {"tr001.jpg", "tr002.jpg", "tr003.jpg", "tr004.jpg"}
    assert problems["tr001.jpg"] == "missing"
    assert problems["tr004.jpg"].startswith("truncated")
    assert warned_of(done) == [
        "4 photos have problems:",
        *(f"  {name}: {note}" for name, note in problems.items()),
        "3 photos could not be read: a random direction, which resembles nobody, stands for each of them",
        "mend these files, then run the same command with --replace",
    ]
    store = photos.store("tiny")
    assert store.manifest.unreadable.keys() == {"tr001.jpg", "tr002.jpg", "tr003.jpg"}
    # what could not be read resembles nobody, least of all one another
    units = store.embedding("train", "orig")[[1, 2, 3]]
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    assert np.abs(units @ units.T - np.eye(3)).max() < 0.5


def test_photos_that_could_not_be_read_are_not_counted_as_embedded_and_can_be_mended(photos: Photos) -> None:
    whole = (photos.images / "tr001.jpg").read_bytes()
    (photos.images / "tr001.jpg").unlink()
    command = ["tiny", "--frozen", "--workers", "0", "--precision", "float32"]
    done = photos.embed(*command)
    assert "\n29 photos embedded, " in done.stdout
    assert warned_of(done) == [
        "1 photo has a problem:",
        "  tr001.jpg: missing",
        "1 photo could not be read: a random direction, which resembles nobody, stands for it",
        "mend these files, then run the same command with --replace",
    ]
    (photos.images / "tr001.jpg").write_bytes(whole)
    done = photos.embed(*command, "--replace")
    assert "\n30 photos embedded, " in done.stdout
    assert not warned_of(done)
    assert not photos.store("tiny").manifest.unreadable


def test_of_many_bad_photos_the_first_are_named(photos: Photos) -> None:
    for name in photos.train[:12]:
        (photos.images / name).write_text("this is no photo")
    told = photos.embed("tiny", "--frozen", "--workers", "0").stderr
    assert "12 photos have problems:" in told
    assert [name in told for name in photos.train] == [True] * 10 + [False] * 14
    assert "and 2 more" in told


@pytest.mark.parametrize("workers", ["0", "2"])
def test_strict_reads_every_photo_before_any_is_embedded(
    photos: Photos, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded(*_: object) -> None:
        raise AssertionError("nothing was to be embedded")

    (photos.images / "tr001.jpg").unlink()
    whole = (photos.images / "te005.jpg").read_bytes()
    (photos.images / "te005.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    for name in photos.train[10:20]:
        (photos.images / name).write_text("this is no photo")
    with monkeypatch.context() as patched:
        patched.setattr("backbones.extraction.forward.Forward.__call__", embedded)
        line = photos.embed("tiny", "--frozen", "--strict", "--workers", workers, code=1).stderr
    assert line.startswith("finblend: --strict: tr001.jpg: missing, tr010.jpg: unreadable: ")
    # the last two of twelve are counted only
    assert "tr018.jpg" in line
    assert "tr019.jpg" not in line
    assert line.strip().endswith("(12 in all)")
    for name in photos.train[10:20]:
        (photos.images / name).write_bytes(whole)
    (photos.images / "tr001.jpg").write_bytes(whole)
    line = photos.embed("tiny", "--frozen", "--strict", "--workers", workers, code=1).stderr
    assert line == "finblend: --strict: te005.jpg: truncated: shown as far as it goes\n"
    (photos.images / "te005.jpg").write_bytes(whole)
    assert "30 photos embedded" in photos.embed("tiny", "--frozen", "--strict", "--workers", workers).stdout
