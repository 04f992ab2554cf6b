"""The photos of a project as a network is to see them: files, boxes, crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cv.errors import FinblendError, shown
from ensemble.project.folder import Project

if TYPE_CHECKING:
    from backbones.photos import Box, Frame

# where boxes are read in the wrong form, most of them reach far out of their photo
MOST = 0.5
TRIED = 50
# photos that a refusal names
NAMED = 10


@dataclass(frozen=True)
class PhotoFiles:
    """Every train photo, then every test photo, each in the catalogue's order.

    Attributes
    ----------
    names : list of str
    files : list of str or None
    problems : dict of str to str
        Photos without a file, with the reason.
    crops : list of str
        Names of the crops; empty for the whole photo or one unnamed box.
    boxes : list of list of Box or None
        One list a crop (one alone where there are no names); None for the whole photo.
    sources : list of str
        The boxes' files.
    """

    names: list[str]
    files: list[str | None]
    problems: dict[str, str]
    crops: list[str]
    boxes: list[list[Box | None]]
    sources: list[str]

    @property
    def without_box(self) -> int:
        """Number of photos that lack a box of a crop that has boxes."""
        return sum(None in boxes for boxes in zip(*self.boxes, strict=True)) if self.sources else 0

    @cached_property
    def _stamps(self) -> dict[str, tuple[int, int]]:
        from backbones.photos.members import stamp

        return {file: stamp(Path(file)) for file in self.files if file is not None}

    def stamp(self, file: str) -> tuple[int, int]:
        """Size and time of a file: a photo that changes between two calls is another photo."""
        return self._stamps[file]


def find_photo_files(
    project: Project,
    images: Sequence[str | Path],
    boxes: Sequence[str] = (),
    crops: Sequence[str] = (),
    form: str = "auto",
) -> PhotoFiles:
    """Find the photos of a project and read their boxes.

    Parameters
    ----------
    project : Project
    images : sequence of path
        Folders, TFRecords and `.zip` archives, see `backbones.photos.find_photos`.
    boxes : sequence of str
        See `backbones.photos.read_boxes`.
    crops : sequence of str
        What the boxes show: none, one name for all files, or one name a file; files of one name are joined.
    form : {"auto", "xyxy", "xywh", "yolo"}

    Raises
    ------
    FinblendError
        If a folder does not exist, no photo is there at all, or the boxes cannot be read.
    """
    from backbones.photos import find_photos, read_boxes
    from backbones.photos.containers import unnamed_containers
    from backbones.photos.members import is_there

    if not images:
        raise FinblendError("--images: name at least one folder of photos")
    if len(crops) > 1 and len(crops) != len(boxes):
        raise FinblendError(f"--crop: give one for all --boxes, or one each; got {len(crops)} for {len(boxes)}")
    if crops and not boxes:
        raise FinblendError(f"--crop {crops[0]}: names the boxes of --boxes, and there are none")
    frame = project.catalogue.frame.filter(project.catalogue.frame["split"] != "unlabelled")
    names = frame["image"].to_list()
    paths = frame["path"].to_list() if "path" in frame.columns else None
    search = find_photos(names, [Path(folder) for folder in images], paths)
    if len(search.missing) == len(names):
        folders = ", ".join(map(str, images))
        raise FinblendError(
            f"--images {folders}: none of the catalogue's {len(names)} photos is there (such as {names[0]})"
            f"{unnamed_containers(map(Path, images))}"
        )
    problems = dict.fromkeys(search.missing, "missing")
    files = [str(file) if file is not None and is_there(file) else None for file in search.files]
    dangling = [
        name for name, file, link in zip(names, files, search.files, strict=True) if file is None and link is not None
    ]
    problems |= dict.fromkeys(dangling, "missing: a link that leads nowhere")
    problems |= {name: f"ambiguous: {shown(files, 2)}" for name, files in search.ambiguous.items()}
    named: dict[str, dict[str, Box]] = {}
    for position, spec in enumerate(boxes):
        crop = "" if not crops else crops[0] if len(crops) == 1 else crops[position]
        read = read_boxes(spec, frame, form)
        twice = named.setdefault(crop, {}).keys() & read.keys()
        if twice:
            raise FinblendError(f"--boxes {spec}: {min(twice)}: has a box in another file, too")
        named[crop] |= read
    lists = [[table.get(name) for name in names] for table in named.values()] or [[None] * len(names)]
    return PhotoFiles(names, files, problems, [crop for crop in named if crop], lists, list(map(str, boxes)))


def refuse_wrong_form(photos: PhotoFiles, frame: Frame) -> None:
    """Look at some photos with boxes, and refuse boxes most of which reach far out of their photo."""
    from backbones.photos import show

    boxed = [row for row, file in enumerate(photos.files) if file and any(crop[row] for crop in photos.boxes)]
    tried = boxed[:: max(1, len(boxed) // TRIED)]
    outside = [
        flag
        for row in tried
        for flag in show(Path(str(photos.files[row])), [crop[row] for crop in photos.boxes], frame).outside
    ]
    if sum(outside) > MOST * len(outside):
        raise FinblendError(
            f"--boxes {', '.join(photos.sources)}: {sum(outside)} of {len(outside)} boxes that were tried reach far "
            "out of their photo; say what the four numbers are with --box-form xyxy, xywh or yolo"
        )


def refuse_bad_photos(
    photos: PhotoFiles, frame: Frame, workers: int, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Read every photo before any is embedded, and refuse if there is one that is missing, unreadable or truncated.

    Reading a photo takes a small part of the time that a network takes for it.

    Parameters
    ----------
    photos : PhotoFiles
    frame : Frame
        Through which the network will look.
    workers : int
        Decoding processes.
    progress : callable, optional
    """
    from backbones.extraction.photo_set import PhotoSet, notes_of

    shown_photos = PhotoSet(photos.names, photos.files, photos.boxes, frame)
    tell = None if progress is None else (lambda done, total: progress("photos checked", done, total))
    notes = dict(zip(photos.names, notes_of(shown_photos, workers, tell), strict=True))
    refuse_problems(problems_of(photos, notes))


def problems_of(photos: PhotoFiles, notes: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with photos, in the catalogue's order: finding them says more than that they are missing.

    Parameters
    ----------
    photos : PhotoFiles
    notes : mapping of str to str
        What is wrong by reading them; empty where all is fine.
    """
    problems = {name: photos.problems.get(name, note) for name, note in notes.items()}
    return {name: note for name, note in problems.items() if note}


def refuse_problems(problems: Mapping[str, str]) -> None:
    """Refuse photos that --strict does not let pass."""
    if problems:
        raise FinblendError(f"--strict: {shown((f'{name}: {note}' for name, note in problems.items()), NAMED)}")
