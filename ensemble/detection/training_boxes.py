"""The photos that a detector learns from: every box of every table, on photos that are there, some held out."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from cv.errors import FinblendError, shown
from cv.tables import column_of_file

if TYPE_CHECKING:
    from backbones.detection.photos import BoxedPhoto
    from backbones.photos import BoxTable

ANIMAL = "animal"
# photos with a box below which nothing is learned, and nothing is measured
FEWEST = 10


@dataclass(frozen=True)
class TrainingBoxes:
    """Photos with their boxes, parted.

    Attributes
    ----------
    classes : list of str
    train, held_out : list of BoxedPhoto
    problems : dict of str to str
        Photos of the tables that are not used.
    """

    classes: list[str]
    train: list[BoxedPhoto]
    held_out: list[BoxedPhoto]
    problems: dict[str, str]


def read_tables(specs: Sequence[str], form: str, names: Sequence[str]) -> list[tuple[BoxTable, list[str]]]:
    """Each table with the class of each of its boxes.

    Parameters
    ----------
    specs : sequence of str
        See `backbones.photos.read_every_box`.
    form : {"auto", "xyxy", "xywh", "yolo"}
    names : sequence of str
        A class for all boxes of each table, or one for all tables; none: what the tables say, else "animal".
    """
    from backbones.photos import read_every_box

    if len(names) > 1 and len(names) != len(specs):
        raise FinblendError(f"--class: give one for all BOXES, or one each; got {len(names)} for {len(specs)}")
    tables = []
    for place, spec in enumerate(specs):
        table = read_every_box(spec, form)
        name = "" if not names else names[0] if len(names) == 1 else names[place]
        classes = [name or said or ANIMAL for said in table.classes]
        tables.append((table, classes))
    if not any(table.boxes for table, _ in tables):
        raise FinblendError(f"{', '.join(specs)}: holds no box at all ({sum(len(t.names) for t, _ in tables)} photos)")
    return tables


def training_boxes(
    tables: Sequence[tuple[BoxTable, list[str]]],
    images: Sequence[str | Path],
    *,
    encounters: str | None,
    hold_out: float,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingBoxes:
    """Find the photos, look at each once, and part them.

    Parameters
    ----------
    tables : sequence of (BoxTable, list of str)
        Of `read_tables`.
    images : sequence of path
        Folders.
    encounters : str, optional
        `FILE:COLUMN`: photos of one encounter are held out together.
    hold_out : float
        Share of the photos that the network does not learn from.
    seed : int
    workers : int
        Decoding processes.
    progress : callable, optional

    Raises
    ------
    FinblendError
        If no photo is there, a box reaches out of its photo, photos are too few, or a class cannot be parted.
    """
    from backbones.detection.photos import BoxedPhoto
    from backbones.detection.sizes import sizes_of
    from backbones.photos import find_photos
    from backbones.photos.containers import unnamed_containers

    if not 0.02 <= hold_out <= 0.9:
        raise FinblendError(f"0.02 <= --hold-out <= 0.9 must hold, but got {hold_out}")
    if not images:
        raise FinblendError("--images: name at least one folder of photos")
    names = list(dict.fromkeys(name for table, _ in tables for name in table.names))
    search = find_photos(names, [Path(folder) for folder in images])
    files = {name: str(file) for name, file in zip(names, search.files, strict=True) if file is not None}
    if not files:
        folders = ", ".join(map(str, images))
        raise FinblendError(
            f"--images {folders}: none of the {len(names)} photos is there (such as {names[0]})"
            f"{unnamed_containers(map(Path, images))}"
        )
    problems = dict.fromkeys(search.missing, "missing")
    problems |= {name: f"ambiguous: {shown(many, 2)}" for name, many in search.ambiguous.items()}
    sizes = {}
    for name, (size, note) in zip(files, sizes_of(list(files.values()), workers, progress), strict=True):
        if size is None:
            problems[name] = note
        else:
            sizes[name] = size
    classes, boxes = _boxes_of(tables, sizes)
    photos = [
        BoxedPhoto(name, files[name], sizes[name], *_stacked(boxes.get(name, []), classes)) for name in sorted(sizes)
    ]
    boxed = sum(len(photo.boxes) > 0 for photo in photos)
    if boxed < FEWEST:
        raise FinblendError(f"there are {boxed} photos with a box; a detector needs {FEWEST}")
    held = held_out(photos, classes, _groups(photos, encounters), hold_out, seed)
    train = [photo for photo in photos if photo.name not in held]
    return TrainingBoxes(classes, train, [photo for photo in photos if photo.name in held], problems)


def _boxes_of(
    tables: Sequence[tuple[BoxTable, list[str]]], sizes: Mapping[str, tuple[int, int]]
) -> tuple[list[str], dict[str, list[tuple[tuple[float, ...], str]]]]:
    """All classes, and the boxes of each photo in its pixels, cut at its edges."""
    from backbones.photos import reaches_outside

    outside: list[str] = []
    boxes: dict[str, list[tuple[tuple[float, ...], str]]] = defaultdict(list)
    n_boxes = 0
    for table, kinds in tables:
        for row, (owner, box, kind) in enumerate(zip(table.owner, table.boxes, kinds, strict=True)):
            name = table.names[owner]
            if name not in sizes:
                continue
            n_boxes += 1
            height, width = sizes[name]
            x1, y1, x2, y2 = box.edges(width, height)
            cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
            if reaches_outside(box, width, height) or cut[2] - cut[0] < 1 or cut[3] - cut[1] < 1:
                outside.append(f"{table.where(row)}: is no box on {name}, a photo of {width} x {height} pixels")
            boxes[name].append((cut, kind))
    if len(outside) > n_boxes / 2:
        raise FinblendError(
            f"{outside[0]}, and so are {len(outside)} of {n_boxes} boxes; say what the four numbers are with "
            "--box-form xyxy, xywh or yolo"
        )
    if outside:
        raise FinblendError(f"{outside[0]}" + (f" ({len(outside)} boxes are not)" if len(outside) > 1 else ""))
    return sorted({kind for each in boxes.values() for _, kind in each}), boxes


def _stacked(boxes: list[tuple[tuple[float, ...], str]], classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    edges = np.array([edges for edges, _ in boxes], dtype=np.float64).reshape(-1, 4)
    return edges, np.array([classes.index(kind) for _, kind in boxes], dtype=np.int64)


def _groups(photos: list[BoxedPhoto], encounters: str | None) -> list[str]:
    """What each photo is held out with: its encounter, or itself alone."""
    if encounters is None:
        return [f"photo {photo.name}" for photo in photos]
    from backbones.photos.box_files import images_of

    table = column_of_file(encounters, pl.DataFrame({"image": []}), "BOXES")
    frame = pl.DataFrame({"image": [p.name for p in photos], "path": [Path(p.file).name for p in photos]})
    meant = images_of(table["image"].to_list(), frame, encounters)
    met = {image: value for image, value in zip(meant, table["value"], strict=True) if image is not None and value}
    return [f"encounter {met[photo.name]}" if photo.name in met else f"photo {photo.name}" for photo in photos]


def held_out(
    photos: list[BoxedPhoto], classes: list[str], groups: list[str], hold_out: float, seed: int
) -> frozenset[str]:
    """Names of held-out photos: whole groups in an order of their names' hashes, until the share is reached.

    The rarest class first gets a group held out, so that every class is learned and measured. What is held out depends
    on the photos and the seed, never on the order of rows.
    """
    members: dict[str, list[BoxedPhoto]] = defaultdict(list)
    for photo, group in zip(photos, groups, strict=True):
        members[group].append(photo)
    order = sorted(members, key=lambda group: hashlib.blake2b(f"{seed}|{group}".encode()).digest())
    of_class = {
        kind: [group for group in order if any(number in photo.classes for photo in members[group])]
        for number, kind in enumerate(classes)
    }
    held: list[str] = []

    def takes_last(group: str) -> bool:
        return any(set(where) - set(held) <= {group} for where in of_class.values())

    for kind, where in sorted(of_class.items(), key=lambda item: len(item[1])):
        free = [group for group in where if not takes_last(group)]
        if len(where) < 2 or not (free or set(where) & set(held)):
            raise FinblendError(
                f"class {kind}: all its boxes are of one {where[0].partition(' ')[0]} "
                f"({where[0].partition(' ')[2]}); it needs two, one to learn from and one to be measured on"
                if len(where) < 2
                else f"class {kind}: no photo of it can be held out with one of each class left to learn from"
            )
        if not set(where) & set(held):
            held.append(free[0])
    n_held = sum(len(members[group]) for group in held)
    for group in order:
        if n_held >= hold_out * len(photos):
            break
        if group not in held and not takes_last(group):
            held.append(group)
            n_held += len(members[group])
    return frozenset(photo.name for group in held for photo in members[group])


def counts(photos: Sequence[BoxedPhoto], classes: Sequence[str]) -> dict[str, int]:
    """Number of boxes of each class."""
    found = Counter(int(number) for photo in photos for number in photo.classes)
    return {kind: found[number] for number, kind in enumerate(classes)}
