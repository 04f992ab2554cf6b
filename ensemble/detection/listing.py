"""Every photo of some folders and containers, by a name that a catalogue's own name for it is found by."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cv.errors import FinblendError


def list_photos(places: Sequence[str | Path]) -> dict[str, Path]:
    """Name -> file of every photo in folders, archives and TFRecords, sorted by name; hidden ones are passed over.

    A photo goes by its file's name; where two files have the same one, by their paths below the folders.

    Raises
    ------
    FinblendError
        If a place does not exist, there is no photo, or two files have the same path below two folders.
    """
    found: dict[str, Path] = {}
    for text, path in (each for place in places for each in _photos_of(Path(place))):
        if found.setdefault(text, path) != path and not (path.exists() and path.samefile(found[text])):
            raise FinblendError(f"--images: {found[text]} and {path} go by one name, {text}")
    if not found:
        from backbones.photos.containers import unnamed_containers

        hint = unnamed_containers(map(Path, places))
        raise FinblendError(f"--images {', '.join(map(str, places))}: holds no photo{hint}")
    times = Counter(path.name for path in found.values())
    named = {path.name if times[path.name] == 1 else text: path for text, path in found.items()}
    return dict(sorted(named.items()))


def _photos_of(place: Path) -> Iterator[tuple[str, Path]]:
    """Path below its folder or container, and file, of each photo."""
    from backbones.photos.containers import containers_at
    from backbones.photos.listing import EXTENSIONS

    for root, listings in containers_at(place):
        for inside, listing in listings.items():
            for member in (Path(each) for members in listing.stems.values() for each in members):
                yield Path(os.path.relpath(inside, root), member.name).as_posix(), member
        if listings:
            continue
        for folder, inner, files in os.walk(root):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for name in sorted(files):
                path = Path(folder, name)
                if not name.startswith(".") and path.suffix.lower() in EXTENSIONS:
                    yield path.relative_to(root).as_posix(), path
