"""Photos in TFRecords and archives: found, stamped and decoded as those in a folder are, in any process."""

from __future__ import annotations

import multiprocessing
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import scene
from records import PACK, example, write_shard

from backbones.photos import find_photos
from backbones.photos.containers import containers_at
from backbones.photos.decode import decode
from backbones.photos.members import is_there, member_of, opened, stamp
from cv import FinblendError

NAMES = ["a.jpg", "deep/b.jpg", "deep/er/c.png", "d.jpg"]


def in_records(folder: Path, packing: str) -> Path:
    """Two shards."""
    for number, names in enumerate((NAMES[:3], NAMES[3:])):
        records = [example({"image": (folder / name).read_bytes(), "image_name": name}) for name in names]
        write_shard(folder.parent / "records" / f"{number}.tfrec", records, packing)
    return folder.parent / "records" / "*.tfrec"


def in_archive(folder: Path, method: int) -> Path:
    path = folder.parent / "photos.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("train.csv", "image\na.jpg\n")
        archive.writestr("__MACOSX/._a.jpg", b"macOS keeps notes")
        archive.mkdir("empty")
        for name in NAMES:
            archive.write(folder / name, name)
    return path


CONTAINERS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda folder: folder,
    **{f"records {packing}".strip(): lambda folder, p=packing: in_records(folder, p) for packing in PACK},
    "stored": lambda folder: in_archive(folder, zipfile.ZIP_STORED),
    "deflated": lambda folder: in_archive(folder, zipfile.ZIP_DEFLATED),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(40 + 8 * number).save(path)
    return tmp_path / "photos"


def content(path: Path) -> bytes:
    found = opened(path)
    return found.read_bytes() if isinstance(found, Path) else found.read()


@pytest.mark.parametrize("kind", CONTAINERS)
class TestContainer:
    """What holds wherever photos lie."""

    def test_photos_are_found_by_name_path_and_stem(self, folder: Path, kind: str) -> None:
        place = CONTAINERS[kind](folder)
        names = ["a.jpg", "b.jpg", "deep/er/c.png", "c", "d.jpeg", "e.jpg", "deep/a.jpg", "elsewhere/b"]
        found, wanted = (find_photos(names, [each]) for each in (place, folder))
        assert [file and file.name for file in found.files] == [file and file.name for file in wanted.files]
        assert [file and file.name for file in found.files][:5] == ["a.jpg", "b.jpg", "c.png", None, "d.jpg"]
        assert found.missing == wanted.missing == ["e.jpg"]
        assert found.ambiguous.keys() == wanted.ambiguous.keys() == {"c", "elsewhere/b"}

    def test_bytes_stamps_and_pixels_are_the_files_own(self, folder: Path, kind: str) -> None:
        found = find_photos(NAMES, [CONTAINERS[kind](folder)]).files
        for name, file in zip(NAMES, found, strict=True):
            assert file is not None
            assert is_there(file)
            assert file.name == Path(name).name
            assert content(file) == (folder / name).read_bytes()
            assert stamp(file)[0] == (folder / name).stat().st_size
            decoded, wanted = decode(file), decode(folder / name)
            assert decoded.note == ""
            np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(wanted.image))

    def test_worker_processes_read_them_in_any_order(self, folder: Path, kind: str) -> None:
        found = [file for file in find_photos(NAMES, [CONTAINERS[kind](folder)]).files if file]
        # inherited by the workers: what was read so far
        assert content(found[2]) == (folder / NAMES[2]).read_bytes()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            read = pool.map(content, found[::-1] * 3, chunksize=1)
        assert read == [(folder / name).read_bytes() for name in NAMES[::-1]] * 3

    def test_a_photo_that_changed_is_another(self, folder: Path, kind: str) -> None:
        file = find_photos(["a.jpg"], [CONTAINERS[kind](folder)]).files[0]
        assert file is not None
        before = stamp(file)
        Path(folder / "a.jpg").unlink()
        scene(99).save(folder / "a.jpg")
        again = find_photos(["a.jpg"], [CONTAINERS[kind](folder)]).files[0]
        assert again is not None
        assert stamp(again) != before


def test_a_process_that_inherits_nothing_reads_a_compressed_shard(folder: Path) -> None:
    found = [file for file in find_photos(NAMES, [in_records(folder, "gzip")]).files if file]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(content, found) == [(folder / name).read_bytes() for name in NAMES]


def test_names_without_extension_are_photos_in_records(folder: Path) -> None:
    record = example({"image": (folder / "a.jpg").read_bytes(), "image_name": "0a1b2c"})
    path = write_shard(folder.parent / "a.tfrec", [record])
    found = find_photos(["0a1b2c.jpg", "0a1b2c"], [path])
    assert [file and file.name for file in found.files] == [None, "0a1b2c"]
    assert find_photos(["0a1b2c.jpg"], [path]).files[0] == found.files[1]


def test_folders_records_and_archives_are_asked_in_their_order(folder: Path) -> None:
    scene(99).save(folder.parent / "d.jpg")
    archive = in_archive(folder, zipfile.ZIP_STORED)
    (folder / "a.jpg").unlink()
    found = find_photos(["a.jpg", "d.jpg"], [folder, archive])
    assert [str(file).partition("@")[0] for file in found.files] == [f"{archive}/stored", f"{folder}/d.jpg"]
    # a pattern may match archives, and folders
    assert find_photos(["a.jpg"], [folder.parent / "*.zip"]).files == found.files[:1]
    assert find_photos(["d.jpg"], [folder.parent / "phot[o]s"]).files == found.files[1:]


def test_damage_within_a_container_is_told_of_its_photo_alone(folder: Path) -> None:
    archive = in_archive(folder, zipfile.ZIP_STORED)
    shards = in_records(folder, "")
    files = [find_photos(["a.jpg", "d.jpg"], [place]).files for place in (archive, shards)]
    for path in (archive, shards.parent / "0.tfrec"):
        whole = path.read_bytes()
        at = whole.index((folder / "a.jpg").read_bytes()) + 50
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    notes = [[decode(file).note for file in some if file] for some in files]
    assert notes == [
        [f"unreadable: {archive}: a.jpg: its bytes and their checksum differ: they are damaged or truncated", ""],
        [f"unreadable: {shards.parent}/0.tfrec: record 1: its data and their checksum differ: they are damaged", ""],
    ]


def test_members_that_are_packed_otherwise_are_told(folder: Path) -> None:
    path = in_archive(folder, zipfile.ZIP_LZMA)
    file = find_photos(["a.jpg"], [path]).files[0]
    assert file is not None
    assert decode(file).note == (
        f"unreadable: {path}: a.jpg: is packed by method-14, and stored or deflated photos are read"
    )
    locked = bytearray(path.read_bytes())
    entry = locked.index(b"PK\1\2", locked.index(b"PK\1\2") + 4)
    for at in range(entry, len(locked) - 46):
        if locked[at : at + 4] == b"PK\1\2":
            locked[at + 8] |= 1
    path.write_bytes(locked)
    file = find_photos(["a.jpg"], [path]).files[0]
    assert file is not None
    assert decode(file).note == f"unreadable: {path}: a.jpg: is encrypted"


@given(junk=st.binary(max_size=60), at=st.integers(0, 700))
def test_a_damaged_archive_is_refused_or_its_photos_are_noted(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", b"text that deflates " * 30)
        archive.writestr("b.jpg", b"another")
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    told = []
    try:
        for file in find_photos(["a.jpg", "b.jpg"], [path]).files:
            told.append("unreadable: " if file is None else decode(file).note)
    except FinblendError as error:
        told.append(str(error))
    assert all(line.startswith(("unreadable: ", f"{path}: cannot be read as a .zip archive (")) for line in told)


@pytest.mark.parametrize("place", ["gone", "gone.zip", "a.csv", "none*.tfrec", "gone.tfrec", "no.zip", "no.tfrec"])
def test_what_holds_no_photos_is_refused_in_one_line(tmp_path: Path, place: str) -> None:
    for name in ("a.csv", "no.zip", "no.tfrec"):
        (tmp_path / name).write_text("image,species,individual_id\n")
    with pytest.raises(FinblendError) as told:
        containers_at(tmp_path / place)
    assert (
        str(told.value).removeprefix(f"{tmp_path}/{place}: ").split(" (")[0]
        == {
            "gone": "no such folder",
            "gone.zip": "no such folder",
            "a.csv": "is a file, and a folder of photos, a .zip or TFRecords is wanted",
            "none*.tfrec": "no file matches the pattern",
            "gone.tfrec": "no such file",
            "no.zip": "cannot be read as a .zip archive",
            "no.tfrec": "is no TFRecord file: it does not begin with a length and its checksum, compressed or not",
        }[place]
    )


def test_a_file_with_such_a_sign_in_its_name_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zip" / "stored@1+2,3+4" / "a@b.jpg"
    path.parent.mkdir(parents=True)
    scene().save(path)
    assert member_of(path) is None
    assert find_photos(["a@b.jpg"], [tmp_path]).files == [path]
    assert decode(path).note == ""
