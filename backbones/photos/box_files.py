"""Boxes from where people keep them: a column of a table, a folder of YOLO labels, a COCO file."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.photos.box_forms import Candidates, read_texts
from cv.errors import FinblendError, shown
from cv.files import read_json
from cv.tables import as_text, pick_column, read_table, refuse_repeats, text_column

COLUMNS = ("bbox", "box")
_TABLES = {".csv", ".parquet", ".pq"}
_CONFIDENCES = ("conf", "confidence", "score")
CLASSES = ("class", "label", "category")
# what labelling programs write beside a folder's labels: the names of its classes, one a line
_CLASS_NAMES = "classes.txt"


def read_column(spec: str, frame: pl.DataFrame, form: str, every: bool = False) -> tuple[Candidates, str]:
    """Boxes of `FILE`, `FILE:COLUMN` or a `COLUMN` of the catalogue, and what to call the place.

    With `every`, an image may stand in several rows, each with boxes of its own, and a column says what boxes show.
    """
    if spec in frame.columns:
        table, name, column = frame, "catalogue", spec
    else:
        path, column = _split(spec, frame)
        table, name = read_table(path)
        column = column or pick_column(table, COLUMNS, name)
        if column not in table.columns:
            raise FinblendError(f"{name}: has no column '{column}'; it has {shown(table.columns, 12)}")
    images = text_column(table, pick_column(table, ("image", "image_id", "path"), name), name)
    if not every:
        refuse_repeats(images, name)
    confidences = next((text_of_cells(table[other]) for other in _CONFIDENCES if other in table.columns), None)
    texts = text_of_cells(table[column])

    def where(row: int) -> str:
        return f"{name}: row {row + 1}: {column}"

    read = read_texts(images.to_list(), texts, confidences, form, where)
    if not every:
        return read, name
    said = next((text_of_cells(table[other]) for other in CLASSES if other in table.columns and other != column), None)
    if said is not None:
        read = replace(read, classes=_classes_of_cells(said, read, where))
    names, place = np.unique(images.to_numpy(), return_inverse=True)
    return replace(read, names=names.tolist(), owner=place[read.owner]), name


def _classes_of_cells(said: pl.Series, read: Candidates, where: Callable[[int], str]) -> list[str]:
    """What each box shows: a cell's one word for all its boxes, or a list with one for each."""
    boxes = np.bincount(read.owner, minlength=len(said))
    out: list[str] = []
    for row in np.flatnonzero(boxes).tolist():
        text = (said[row] or "").strip()
        words = _listed(text) if text.startswith("[") else [text]
        if len(words) not in {1, boxes[row]} or not all(words):
            raise FinblendError(
                f"{where(row)}: {said.name} '{text}' needs one word for the row, or a list of one for each of its "
                f"boxes ({boxes[row]})"
            )
        out += words * int(boxes[row]) if len(words) == 1 else words
    return out


def _listed(text: str) -> list[str]:
    """The words of a list: in quotation marks as JSON and Python write them, or with blanks or commas between."""
    with contextlib.suppress(ValueError):
        listed = json.loads(text.replace("'", '"'))
        if isinstance(listed, list) and all(isinstance(word, (str, int)) for word in listed):
            return [str(word) for word in listed]
    return text.strip("[]").replace(",", " ").split()


def _split(spec: str, frame: pl.DataFrame) -> tuple[str, str]:
    """Return file and column; the colon of a Windows drive is none that splits them."""
    if Path(spec).suffix.lower() in _TABLES:
        return spec, ""
    path, _, column = spec.rpartition(":")
    if Path(path).suffix.lower() in _TABLES:
        return path, column
    raise FinblendError(
        f"{spec}: neither a column of the catalogue ({shown(frame.columns, 12)}) nor a .csv, .parquet or COCO .json "
        "file nor a folder of YOLO labels"
    )


def text_of_cells(values: pl.Series) -> pl.Series:
    """Cells as text; a cell that is a list becomes the text of that list."""
    if values.dtype.is_nested():
        cells = [None if cell is None else str(cell) for cell in values.to_list()]
        return pl.Series(values.name, cells, dtype=pl.String)
    return as_text(values)


def read_labels(folder: Path, form: str) -> Candidates:
    """Boxes of a folder of YOLO labels, `STEM.txt`, one line a box; names are paths without their extension."""
    names: list[str] = []
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    class_names: list[str] = []
    for path in sorted(folder.rglob("*.txt")):
        try:
            written = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise FinblendError(f"{path}: cannot be read as text") from None
        if path == folder / _CLASS_NAMES:
            class_names = [line.strip() for line in written if line.strip()]
            continue
        for number, line in enumerate(written, start=1):
            if line.strip():
                lines.append(line)
                places.append((len(names), number))
        names.append(path.relative_to(folder).with_suffix("").as_posix())

    def where(row: int) -> str:
        owner, number = places[row]
        return f"{folder / names[owner]}.txt: row {number}:"

    texts = pl.Series(lines, dtype=pl.String)
    read = read_texts([""] * len(lines), texts, None, "yolo" if form == "auto" else form, where)
    file_of_line = np.array([owner for owner, _ in places], dtype=np.int64)
    classes = [_class_named(number, class_names) for number in read.classes]
    return Candidates(names, file_of_line[read.owner], read.numbers, read.scores, read.form, read.where, classes)


def _class_named(number: str, class_names: list[str]) -> str:
    known = number.isdecimal() and int(number) < len(class_names)
    return class_names[int(number)] if known else number


def read_coco(path: Path, form: str) -> Candidates:
    """Boxes of a COCO file: `images` of `id` and `file_name`, `annotations` of `image_id`, `bbox`, perhaps `score`."""
    document = read_json(path)
    parts = [document.get(part) if isinstance(document, dict) else None for part in ("images", "annotations")]
    if not all(isinstance(part, list) and all(isinstance(entry, dict) for entry in part) for part in parts):
        raise FinblendError(f"{path}: COCO needs a list of images and a list of annotations")
    images: list[dict[str, Any]] = parts[0] or []
    annotations: list[dict[str, Any]] = parts[1] or []
    index: dict[Any, int] = {}
    for row, image in enumerate(images, start=1):
        if not isinstance(image.get("file_name"), str) or not isinstance(image.get("id"), (int, str)):
            raise FinblendError(f"{path}: image {row}: needs an id and a file_name, got {shown(image)}")
        if image["id"] in index:
            raise FinblendError(f"{path}: image {row}: id {image['id']} stands twice")
        index[image["id"]] = row - 1
    kinds = document.get("categories") or []
    category = {kind.get("id"): str(kind.get("name")) for kind in kinds if isinstance(kind, dict) and kind.get("name")}
    owner, numbers, scores, rows, classes = [], [], [], [], []
    for row, annotation in enumerate(annotations, start=1):
        identity, box, score = annotation.get("image_id"), annotation.get("bbox"), annotation.get("score")
        if not isinstance(identity, (int, str)) or identity not in index:
            raise FinblendError(f"{path}: annotation {row}: image_id {identity} is the id of no image")
        if not box:
            continue
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise FinblendError(f"{path}: annotation {row}: bbox {box}: a box is four numbers")
        if score is not None and not _is_number(score):
            raise FinblendError(f"{path}: annotation {row}: score {score} is not a number")
        owner.append(index[identity])
        numbers.append(box)
        scores.append(np.nan if score is None else score)
        rows.append(row)
        kind = annotation.get("category_id")
        classes.append("" if kind is None else category.get(kind, str(kind)))
    return Candidates(
        [image["file_name"] for image in images],
        np.array(owner, dtype=np.int64),
        np.array(numbers, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
        "xywh" if form == "auto" else form,
        lambda box: f"{path}: annotation {rows[box]}: bbox {numbers[box]}",
        classes,
    )


def _is_number(value: object) -> bool:
    # JSON's true is an int to Python, and its whole numbers have no end; NaN passes, to be refused as not finite
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) > 2**53


def images_of(names: list[str], frame: pl.DataFrame, source: str, by_stem: bool = False) -> list[str | None]:
    """Say which image of the catalogue each name means: by its name or path, else by the file name alone.

    Parameters
    ----------
    names : list of str
    frame : polars.DataFrame
        The catalogue: `image`, perhaps `path`.
    source : str
        Where the names stand, for error lines.
    by_stem : bool
        The names have no extension.

    Raises
    ------
    FinblendError
        If no name is known, or one means several images, or several names mean one image.
    """
    exact: dict[str, str] = {}
    by_file: dict[str, set[str]] = defaultdict(set)
    for image, text in _texts(frame):
        key = _key(text, by_stem)
        exact.setdefault(key, image)
        by_file[_file(key)].add(image)
    out: list[str | None] = []
    taken: dict[str, str] = {}
    for name in names:
        key = _key(name, False)
        meant_by = {exact[key]} if key in exact else by_file.get(_file(key), set())
        if len(meant_by) > 1:
            raise FinblendError(f"{source}: {name} may be any of the images {shown(sorted(meant_by))}")
        meant = next(iter(meant_by), None)
        out.append(meant)
        if meant is not None and taken.setdefault(meant, name) != name:
            raise FinblendError(f"{source}: {taken[meant]} and {name} both mean the image {meant}")
    if not taken:
        looks = f" (a catalogue name looks like {frame['image'][0]})" if frame.height else ""
        raise FinblendError(f"{source}: names no image of the catalogue; it has {shown(names, 3) or 'none'}{looks}")
    return out


def _texts(frame: pl.DataFrame) -> Iterable[tuple[str, str]]:
    """Every image with its name, then every image with its path: names come first where both are the same."""
    images = frame["image"].to_list()
    yield from zip(images, images, strict=True)
    if "path" in frame.columns:
        yield from ((image, path) for image, path in zip(images, as_text(frame["path"]), strict=True) if path)


def _key(text: str, by_stem: bool) -> str:
    text = text.replace("\\", "/").removeprefix("./")
    return os.path.splitext(text)[0] if by_stem else text


def _file(key: str) -> str:
    return key.rpartition("/")[2]
