"""Small copies of a project's photos for a page: found, cropped to the animal where its box is known, and few enough.

Missing and broken files are told in words below the place of the photo; nothing about a single file is fatal.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cv.errors import FinblendError
from cv.tfrecords import are_records
from ensemble.project.folder import Project
from ensemble.report.page.photos import NOBODY_KNOWN, Shot

if TYPE_CHECKING:
    from backbones.photos import Box

# bytes of all data URIs of a page together: with them it stays well under 5 MB
BUDGET = 3_000_000
# the longer side in pixels: sharp at the 150 pixels that a page shows on most screens
SIDE = 208
QUALITY = 70
# columns of a catalogue that hold the animal's box
COLUMNS = ("bbox", "box")


class Copy(NamedTuple):
    """A small copy of a photo.

    Attributes
    ----------
    uri : str or None
        A JPEG as a data URI; None where the file is no photo.
    note : str
        What is wrong with it; empty when all is fine.
    size : (int, int)
        Width and height in pixels.
    area : (float, float, float, float)
        Left, upper, right and lower edge of what it shows, in shares of the upright photo.
    """

    uri: str | None
    note: str
    size: tuple[int, int] = (0, 0)
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass
class Album:
    """The photos that a page shows.

    Refused where pillow is not installed, or the folders hold none of the photos.

    Attributes
    ----------
    project : Project
    images : sequence of Path
        The folders of the photos, all of which are searched; none shows names only.
    budget : int
        Bytes that are left for data URIs; a photo that is shown twice counts twice.
    left_out : set of str
        Photos that the budget had no room for.
    broken : dict of str to str
        Photos that cannot be shown, and why.
    """

    project: Project
    images: Sequence[Path]
    budget: int = BUDGET
    left_out: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    _made: dict[str, Copy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images:
            _require_pillow()
            _ = self._located  # folders in which no photo is are refused

    def answer(self, picture: str, caption: list[str], right: bool) -> Shot:
        """An answer as a photo of who is named, or as what stands for somebody new where there is none ("")."""
        if not picture:
            return Shot(caption[0], None, caption, NOBODY_KNOWN, right)
        return replace(self.shot(picture, [*caption, picture]), right=right)

    def shot(self, image: str, caption: list[str]) -> Shot:
        """A photo with lines below it."""
        if not self.images:
            return Shot(image, None, caption)
        if image not in self._made:
            self._made[image] = self._make(image)
        uri, note, size, area = self._made[image]
        if uri is None:
            self.broken[image] = note
            return Shot(image, None, [*caption, note])
        if len(uri) > self.budget:
            self.left_out.add(image)
            return Shot(image, None, [*caption, "left out: the page is full"])
        self.budget -= len(uri)
        return Shot(image, uri, [*caption, note] if note else caption, size=size, area=area)

    @property
    def notes(self) -> list[str]:
        """What to say of photos that are not shown."""
        notes = []
        if self.broken:
            first = min(self.broken)
            notes.append(
                f"{len(self.broken)} photos cannot be shown as they should, such as {first}: {self.broken[first]}"
            )
        if self.left_out:
            notes.append(f"{len(self.left_out)} photos are left out to keep the page small")
        return notes

    def _make(self, image: str) -> Copy:
        if image not in self._files:
            return Copy(None, "no such photo in the catalogue")
        file = self._files[image]
        if file is None:
            return Copy(None, self._problems.get(image, "missing"))
        return small_copy(file, self._boxes.get(image))

    @cached_property
    def _located(self) -> tuple[dict[str, Path | None], dict[str, str]]:
        """Where each photo of the catalogue is, and why others are nowhere; found as `embed` finds them."""
        from ensemble.networks.photos import find_photo_files

        photos = find_photo_files(self.project, self.images)
        files = {n: None if f is None else Path(f) for n, f in zip(photos.names, photos.files, strict=True)}
        return files, photos.problems

    @property
    def _files(self) -> Mapping[str, Path | None]:
        return self._located[0]

    @property
    def _problems(self) -> Mapping[str, str]:
        return self._located[1]

    @cached_property
    def _boxes(self) -> dict[str, Box]:
        """Where the animals are: by a column of the catalogue, else by the boxes that networks were shown."""
        from backbones.photos import read_boxes

        frame = self.project.catalogue.frame
        frame = frame.filter(frame["split"] != "unlabelled")
        specs = [name for name in COLUMNS if name in frame.columns]
        for stores in self.project.stores().values():
            for store in stores.values():
                specs += [spec for key, spec in store.manifest.sources.items() if key.startswith("boxes")]
        for spec in dict.fromkeys(specs):
            try:
                return read_boxes(spec, frame)
            except FinblendError:
                # a file that has moved since, or another form than can be told by itself: photos are shown whole
                continue
        return {}


def photo_folders(images: str | Path | Sequence[str | Path] | None) -> tuple[Path, ...]:
    """Folders, TFRecords or archives of photos, as they are given; refused where one is none of these."""
    given = [] if images is None else [images] if isinstance(images, (str, Path)) else images
    folders = tuple(map(Path, given))
    for folder in folders:
        if not (folder.is_dir() or folder.suffix.lower() == ".zip" or are_records(folder)):
            raise FinblendError(f"{folder}: is no folder of photos")
    return folders


def small_copy(file: Path, box: Box | None, side: int = SIDE) -> Copy:
    """A photo as a small JPEG in a data URI.

    Parameters
    ----------
    file : Path
    box : Box, optional
        What to crop it to; a box that is too small or reaches far outside the photo is passed over.
    side : int
        Most pixels of the longer side.
    """
    from backbones.photos.boxes import reaches_outside
    from backbones.photos.decode import decode

    def area_of(width: int, height: int) -> tuple[int, int, int, int]:
        if box is None or reaches_outside(box, width, height):
            return 0, 0, width, height
        return box.pixels(width, height) or (0, 0, width, height)

    def wanted(width: int, height: int) -> float:
        x1, y1, x2, y2 = area_of(width, height)
        return max(x2 - x1, y2 - y1) / side

    decoded = decode(file, wanted)
    if decoded.image is None:
        return Copy(None, decoded.note)
    x1, y1, x2, y2 = area_of(decoded.width, decoded.height)
    shrunk = min(1.0, side / max(x2 - x1, y2 - y1))
    size = max(1, round((x2 - x1) * shrunk)), max(1, round((y2 - y1) * shrunk))
    small = decoded.image.resize(size, box=decoded.place((x1, y1, x2, y2)))
    out = BytesIO()
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
    area = x1 / decoded.width, y1 / decoded.height, x2 / decoded.width, y2 / decoded.height
    return Copy(uri, decoded.note, size, area)


def _require_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise FinblendError("--images needs the package pillow: pip install 'finblend[photos]'") from None
