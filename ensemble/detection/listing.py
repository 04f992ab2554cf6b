"""Every photo below some folders, by a name that a catalogue's own name for it is found by."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cv.errors import FinblendError
from cv.files import refuse_no_folder


def list_photos(folders: Sequence[str | Path]) -> dict[str, Path]:
    """Name -> file of every photo below the folders, sorted by name; hidden files and folders are passed over.

    A photo goes by its file's name; where two files have the same one, by their paths below the folders.

    Raises
    ------
    FinblendError
        If a folder does not exist, there is no photo, or two files have the same path below two folders.
    """
    from backbones.photos.find import EXTENSIONS

    places: dict[str, Path] = {}
    for folder in map(Path, folders):
        refuse_no_folder(folder, "a folder of photos")
        for place, inside, files in os.walk(folder):
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            for name in sorted(files):
                path = Path(place, name)
                if name.startswith(".") or path.suffix.lower() not in EXTENSIONS:
                    continue
                text = path.relative_to(folder).as_posix()
                if places.setdefault(text, path) != path and not path.samefile(places[text]):
                    raise FinblendError(f"--images: {places[text]} and {path} go by one name, {text}")
    if not places:
        raise FinblendError(f"--images {', '.join(map(str, folders))}: holds no photo")
    times = Counter(path.name for path in places.values())
    named = {path.name if times[path.name] == 1 else text: path for text, path in places.items()}
    return dict(sorted(named.items()))
