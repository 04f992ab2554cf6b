"""Where photos may lie: a folder, TFRecord shards, a `.zip` archive; each listed as a folder would be."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from backbones.photos.listing import Listing
from backbones.photos.members import Member
from cv.errors import FinblendError
from cv.files import refuse_no_folder
from cv.tfrecords.features import photos_of
from cv.tfrecords.spec import are_records, matching, read_spec

# place of a folder -> what lies in it
Listings = dict[str, Listing]
WANTED = "a folder of photos, a .zip or TFRecords"
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


def containers_at(place: Path) -> list[tuple[Path, Listings]]:
    """Folders and containers that a place or a pattern names.

    Parameters
    ----------
    place : Path
        A folder, an archive, TFRecords (see `cv.tfrecords.read_spec`), or a pattern of the first two.

    Returns
    -------
    list of (Path, dict of str to Listing)
        A root, and the folders below it by place; none for a folder on disk, which is listed when it is looked into.

    Raises
    ------
    FinblendError
        If there is no such thing, it is a file of another kind, or a container is damaged.
    """
    if place.is_dir():
        return [(place, {})]
    if are_records(place):
        # all shards of a pattern are one folder
        return [(place, _listed(place, _in_records(place), all_photos=True))]
    roots: list[tuple[Path, Listings]] = []
    for found in matching(str(place)):
        if found.suffix.lower() == ".zip" and found.is_file():
            roots.append((found, _listed(found, _in_archive(found))))
        else:
            refuse_no_folder(found, WANTED)
            roots.append((found, {}))
    return roots


def unnamed_containers(places: Iterable[Path]) -> str:
    """What to say where no photo was found: a folder's archives and shards are looked into when they are named."""
    for place in places:
        for suffix in (".zip", ".tfrec", ".tfrecord"):
            if place.is_dir() and any(place.glob(f"*{suffix}")):
                return f"; {place} holds {suffix} files, which are named by a pattern: '{place}/*{suffix}'"
    return ""


def _in_records(place: Path) -> Iterator[tuple[str, str]]:
    for shard, photo in photos_of(read_spec(place)):
        where = photo.offset, photo.length, photo.start, photo.size
        yield photo.name, str(Member(shard.path, f"record-{photo.number}", where, photo.name))


def _in_archive(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FinblendError(f"{path}: cannot be read as a .zip archive ({error})") from None
    for info in members:
        how = "encrypted" if info.flag_bits & 1 else _METHODS.get(info.compress_type, f"method-{info.compress_type}")
        where = info.header_offset, info.compress_size, info.file_size, info.CRC
        yield info.filename, str(Member(path, how, where, info.filename))


def _listed(root: Path, photos: Iterable[tuple[str, str]], all_photos: bool = False) -> Listings:
    """Names with folders in them as folders; what is hidden is passed over, macOS's own notes too."""
    listings: Listings = {str(root): Listing()}
    for name, path in photos:
        parts = _parts(name)
        if not parts or ".." in parts or any(part[0] == "." or part == "__MACOSX" for part in parts):
            continue
        place = root
        for folder in parts[:-1]:
            below = place / folder
            if str(below) not in listings:
                listings[str(place)].folders.append(folder)
                listings[str(below)] = Listing()
            place = below
        listings[str(place)].add(parts[-1], path, all_photos)
    return listings


def _parts(name: str) -> tuple[str, ...]:
    plain = name.replace("\\", "/").lstrip("/")
    # most names have no folders, and paths are slow
    return PurePosixPath(plain).parts if "/" in plain or plain in {"", "."} else (plain,)
