"""`init`, `embed`, `train` and local features from TFRecords and archives: to the last bit as from photo files."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from embedded import TINY, Photos, finblend, warned_of
from records import example, write_shard

from backbones.local_features import LocalPhotos, extract_features
from cv.errors import FinblendError
from ensemble import Project
from ensemble.networks.photos import find_photo_files

EXACT = ["--frozen", "--precision", "float32"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums differ in the last bit with the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Photos, and the same in records and in an archive."""
    photos, records = Photos(tmp_path), tmp_path / "records"
    rows = [
        {"image": (photos.images / name).read_bytes(), "image_name": name, "target": place % 6, "box": [4, 4, 60, 50]}
        for place, name in enumerate(photos.train)
    ]
    for shard, packing in enumerate(["", "gzip", "zlib"]):
        write_shard(records / f"train{shard}.tfrec", map(example, rows[shard * 8 : shard * 8 + 8]), packing)
    rows = [{"image": (photos.images / name).read_bytes(), "image_name": name} for name in photos.test]
    write_shard(records / "test.tfrec", map(example, rows))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in photos.images.iterdir():
            archive.write(path, f"train_images/{path.name}")
    return photos


def vectors(project: Path, model: str, seen: str = "frozen") -> np.ndarray:
    store = Project.open(project).stores()[model][seen]
    return np.concatenate([store.embedding(split, view) for split in ("train", "test") for view in store.views])


def from_records(photos: Photos) -> Path:
    """A project of records alone."""
    records, project = photos.folder / "records", photos.folder / "R"
    train, test = records / "train*.tfrec", records / "test.tfrec"
    finblend("init", project, "--train", train, "--test", test, "--folds", "3")
    return project


def test_embeddings_are_those_of_the_files_to_the_last_bit(photos: Photos) -> None:
    records = photos.folder / "records" / "*.tfrec"
    photos.embed("files", *EXACT, "--workers", "0")
    wanted = vectors(photos.project, "files")
    # equal bytes under another name are refused: so equal are they
    for place in (records, photos.folder / "photos.zip"):
        told = finblend("embed", photos.project, "other", *TINY, *EXACT, "--images", place, "--workers", "2", code=1)
        assert "the same embeddings are registered as files frozen" in told.stderr
    project = from_records(photos)
    finblend("embed", project, "records", *TINY, *EXACT, "--images", records, "--workers", "2", "--batch-size", "5")
    np.testing.assert_array_equal(vectors(project, "records"), wanted)


def test_a_project_of_records_has_labels_and_boxes(photos: Photos) -> None:
    project, records = from_records(photos), photos.folder / "records" / "*.tfrec"
    assert Project.open(project).catalogue.individuals == [str(number) for number in range(6)]
    done = finblend("embed", project, "boxed", *TINY, *EXACT, "--images", records, "--boxes", "box", "--workers", "0")
    assert warned_of(done) == ["6 photos have no box; they are shown whole"]
    page = photos.folder / "report.html"
    finblend("report", project, "-o", page, "--images", records)
    assert page.is_file()


def test_marks_and_networks_are_those_of_the_files(photos: Photos) -> None:
    records, again = photos.folder / "records" / "*.tfrec", photos.folder / "again"
    shutil.copytree(photos.project, again)
    digests = []
    for number, place in enumerate((photos.images, records)):
        found = find_photo_files(Project.open(again), [place])
        local = LocalPhotos(names=found.names, files=found.files, boxes=found.boxes[0], train=24)
        digests.append(extract_features(local, "sift", 20, photos.folder / f"sift{number}").content_sha256)
    assert digests[0] == digests[1]
    train = ["net", *TINY, "--folds", "0", "--epochs", "1", "--batch-size", "8", "--workers", "0", "--views", "orig"]
    finblend("train", photos.project, *train, "--images", photos.images)
    finblend("train", again, *train, "--images", records)
    np.testing.assert_array_equal(vectors(again, "net", "fold-0"), vectors(photos.project, "net", "fold-0"))


def test_a_folder_of_shards_or_archives_says_how_they_are_named(photos: Photos) -> None:
    (photos.folder / "zips").mkdir()
    (photos.folder / "photos.zip").rename(photos.folder / "zips" / "photos.zip")
    for folder, pattern in (("records", "*.tfrec"), ("zips", "*.zip")):
        place = photos.folder / folder
        with pytest.raises(FinblendError, match=re.escape(f"named by a pattern: '{place}/{pattern}'")):
            find_photo_files(Project.open(photos.project), [place], [], [], "auto")


def test_damage_is_told_of_the_photo_and_truncation_of_the_file(photos: Photos) -> None:
    records = photos.folder / "records"
    path = records / "test.tfrec"
    whole = path.read_bytes()
    at = whole.index((photos.images / photos.test[1]).read_bytes()) + 100
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    images = ["--images", records / "*.tfrec", "--workers", "0"]
    done = finblend("embed", photos.project, "tiny", *TINY, *EXACT, *images)
    note = f"unreadable: {path}: record 2: its data and their checksum differ: they are damaged"
    assert f"  {photos.test[1]}: {note}" in warned_of(done)
    told = finblend("embed", photos.project, "strict", *TINY, *EXACT, *images, "--strict", code=1).stderr
    assert told == f"finblend: --strict: {photos.test[1]}: {note}\n"
    path.write_bytes(whole[:-5])
    told = finblend("embed", photos.project, "cut", *TINY, *EXACT, *images, code=1).stderr
    assert told.startswith(f"finblend: {path}: record 6: is ")
    assert told.endswith("the file is truncated\n")
