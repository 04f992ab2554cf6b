"""Find the files of photos, from the names a catalogue calls them by."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath

from backbones.photos.containers import containers_at
from backbones.photos.listing import Listing

# what counts as an extension that may be cut off a name: not the `.001` of `IMG.001`
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")


@dataclass(frozen=True)
class Found:
    """Where the photos are.

    Attributes
    ----------
    files : list of Path or None
        One entry a name, in the names' order; None where it is missing or ambiguous.
    missing : list of str
        Names of which there is no file.
    ambiguous : dict of str to list of Path
        Names that several files answer to, with nothing to choose by.
    """

    files: list[Path | None]
    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[Path]] = field(default_factory=dict)


def find_photos(names: Sequence[str], folders: Sequence[Path], paths: Sequence[str | None] | None = None) -> Found:
    """Find the file of every photo.

    Each photo is looked for by its path and by its name, in this order: at that place in each folder in turn; by file
    name anywhere below the folders, where the file sharing most parent folders with the name is taken; the same two
    again by stem, with a photo's extension. Hidden files and folders are passed over, and each is listed once.

    Parameters
    ----------
    names : sequence of str
        Image names: a file name, a path relative to one of the folders, or either without its extension.
    folders : sequence of Path
        Where to look: folders, `.zip` archives and TFRecords (`records/*.tfrec`, `a.tfrec:name=image_id`), in whose
        shards the same rules hold. What lies outside of them is never found.
    paths : sequence of str or None, optional
        A better place to look for each name, relative to a folder (the column `path` of wildlife-datasets).

    Returns
    -------
    Found

    Raises
    ------
    FinblendError
        If one does not exist, or is a file of another kind, or cannot be read.
    """
    search = _Search([Path(folder) for folder in folders])
    located = Found([])
    for name, path in zip(names, paths if paths is not None else [None] * len(names), strict=True):
        matches = search.find([text for text in (path, name) if text])
        located.files.append(matches[0] if len(matches) == 1 else None)
        if not matches:
            located.missing.append(name)
        elif len(matches) > 1:
            located.ambiguous[name] = matches
    _part_shared(located, list(names))
    return located


def _part_shared(located: Found, names: list[str]) -> None:
    """A file that several names lead to is that of the name it carries; to the others it is none of theirs."""
    counts = Counter(file for file in located.files if file is not None)
    for position, file in enumerate(located.files):
        if file is not None and counts[file] > 1 and PurePosixPath(names[position]).name != file.name:
            located.files[position] = None
            located.ambiguous[names[position]] = [file]


class _Search:
    """Listings of folders, read when first needed: one listing is cheaper than a question for each of its files."""

    def __init__(self, places: Sequence[Path]) -> None:
        self.folders: list[Path] = []
        self._listings: dict[str, Listing] = {}
        for place in places:
            for root, listings in containers_at(place):
                self.folders.append(root)
                self._listings |= listings
        # file name or stem -> the files below all folders
        self._below: tuple[dict[str, list[str]], dict[str, list[str]]] | None = None

    def find(self, texts: list[str]) -> list[Path]:
        """Files that answer to the first text that any answers to; more than one is ambiguous."""
        wanted = [[_inside(text, folder) for folder in self.folders] for text in texts]
        for by_stem in (False, True):
            for places in wanted:
                for folder, inside in zip(self.folders, places, strict=True):
                    if inside is not None and (matches := self._in_place(folder, inside, by_stem)):
                        return matches
            for places in wanted:
                inside = next((place for place in places if place is not None), None)
                if inside is not None and (matches := self._anywhere(inside, by_stem)):
                    return matches
        return []

    def _in_place(self, folder: Path, inside: PurePosixPath, by_stem: bool) -> list[Path]:
        place = str(folder / inside.parent)
        listing = self._listing(place)
        if not by_stem:
            return [Path(listing.files[inside.name])] if inside.name in listing.files else []
        for stem in _stems(inside.name):
            if stem in listing.stems:
                return [Path(file) for file in listing.stems[stem]]
        return []

    def _anywhere(self, inside: PurePosixPath, by_stem: bool) -> list[Path]:
        if self._below is None:
            self._below = self._walk()
        index = self._below[by_stem]
        for key in _stems(inside.name) if by_stem else [inside.name]:
            if key in index:
                return _closest([Path(file) for file in index[key]], inside)
        return []

    def _walk(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        names: dict[str, list[str]] = defaultdict(list)
        stems: dict[str, list[str]] = defaultdict(list)
        seen: set[str] = set()
        for place in (place for folder in self.folders for place in self._places(str(folder), seen)):
            listing = self._listing(place)
            for key, file in listing.files.items():
                names[key].append(file)
            for stem, files in listing.stems.items():
                stems[stem].extend(files)
        return names, stems

    def _places(self, place: str, seen: set[str]) -> Iterator[str]:
        """The folder and those below it, each once, however many links lead there."""
        waiting = [place]
        while waiting:
            place = waiting.pop()
            real = os.path.realpath(place)
            if real not in seen:
                seen.add(real)
                yield place
                waiting.extend(os.path.join(place, name) for name in sorted(self._listing(place).folders, reverse=True))

    def _listing(self, place: str) -> Listing:
        if place in self._listings:
            return self._listings[place]
        listing = self._listings[place] = Listing()
        try:
            with os.scandir(place) as entries:
                shown = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
        except OSError:  # no such folder, or none of ours to read
            return listing
        for entry in shown:
            if entry.is_dir():
                listing.folders.append(entry.name)
            else:
                listing.add(entry.name, entry.path)
        return listing


def _inside(text: str, folder: Path) -> PurePosixPath | None:
    """Return the place a text names inside a folder; None if it names the folder itself or one outside."""
    text = os.path.normpath(unicodedata.normalize("NFC", text.strip().replace("\\", "/")))
    if os.path.isabs(text):
        text = os.path.relpath(text, os.path.abspath(folder))
    if text in {".", ".."} or text.startswith("../"):
        return None
    return PurePosixPath(text)


def _stems(name: str) -> list[str]:
    """Return the stems a name may stand for: the whole of it first, for it may have no extension."""
    cut = _EXTENSION.sub("", name)
    return [name] if cut in {name, ""} else [name, cut]


def _closest(files: list[Path], inside: PurePosixPath) -> list[Path]:
    """The files that share most parent folders with the name, counted from its end."""
    if len(files) == 1:
        return files

    def shared(file: Path) -> int:
        pairs = zip(reversed(file.parent.parts), reversed(inside.parent.parts), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    most = max(map(shared, files))
    return [file for file in files if shared(file) == most]
