"""Boxes as people write them, from text to numbers: `[[x1 y1 x2 y2]]`, `[x, y, w, h]`, YOLO's `class cx cy w h`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from cv.errors import FinblendError

FORMS = ("auto", "xyxy", "xywh", "yolo")
RULES = {
    "xyxy": "x1 y1 x2 y2 needs x1 <= x2 and y1 <= y2 (x y w h is the form xywh)",
    "xywh": "x y w h needs w >= 0 and h >= 0",
    "yolo": "cx cy w h needs numbers within 0 and 1",
}
# a photo's share may have been rounded beyond its edge
_SLACK = 1e-3
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NO_BRACKETS = re.compile(r"[# ]*")
_SINGLE = re.compile(r"\[[# ]*\]")
_DOUBLE = re.compile(r"\[ ?(?:\[[# ]*\] ?)+\]")
_DEPTH_FORM = {1: "xywh", 2: "xyxy"}


@dataclass(frozen=True)
class Candidates:
    """Boxes before one is chosen for each photo.

    Attributes
    ----------
    names : list of str
        What the boxes belong to; a name may have none or several.
    owner : (m,) int array
        Index into `names` of each box.
    numbers : (m, 4) float64 array
        In the form that was read or asked for.
    scores : (m,) float64 array
        How sure a detector was; NaN where nobody said.
    form : {"xyxy", "xywh", "yolo"}
    where : callable
        Box index -> where it stands and what is written there, for error lines.
    classes : list of str
        What each box shows; empty where nobody said, and the whole list is where nobody asked.
    """

    names: list[str]
    owner: np.ndarray
    numbers: np.ndarray
    scores: np.ndarray
    form: str
    where: Callable[[int], str]
    classes: list[str] = field(default_factory=list)


def corners(candidates: Candidates) -> tuple[np.ndarray, bool]:
    """(m, 4) float64 x1, y1, x2, y2, and whether they are shares of the photo: all numbers lie within 0 and 1.

    Raises
    ------
    FinblendError
        If a number is not finite, a box has a negative size, or YOLO's numbers leave 0 to 1.
    """
    numbers, form = candidates.numbers, candidates.form
    _refuse(~np.isfinite(numbers).all(axis=1), candidates, "a box needs finite numbers")
    inside = _within_one(numbers)
    out = numbers.copy()
    if form == "yolo":
        _refuse(~inside, candidates, RULES["yolo"])
        out[:, :2] -= numbers[:, 2:] / 2
        out[:, 2:] = out[:, :2] + numbers[:, 2:]
    elif form == "xywh":
        out[:, 2:] += numbers[:, :2]
    size_of = numbers[:, 2:] if form != "xyxy" else numbers[:, 2:] - numbers[:, :2]
    _refuse(np.asarray((size_of < 0).any(axis=1)), candidates, RULES[form])
    return out, bool(len(inside)) and bool(inside.all())


def best(candidates: Candidates, boxes: np.ndarray) -> np.ndarray:
    """Indices of the one box of each photo that has any: the most confident; the largest where nobody said or equals.

    Parameters
    ----------
    candidates : Candidates
    boxes : (m, 4) float64 array
        Their corners.
    """
    unsaid = np.zeros(len(candidates.names), dtype=bool)
    unsaid[candidates.owner[np.isnan(candidates.scores)]] = True
    scores = np.where(unsaid[candidates.owner], 0.0, candidates.scores)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.lexsort((-area, -scores, candidates.owner))
    first = np.diff(candidates.owner[order], prepend=-1) > 0
    return order[first]


def read_texts(
    names: list[str], texts: pl.Series, confidences: pl.Series | None, form: str, where: Callable[[int], str]
) -> Candidates:
    """Read boxes from text, one cell a name.

    Brackets tell the form where it is `auto`: two are x1 y1 x2 y2 (Kaggle), one x y w h (wildlife-datasets), none YOLO
    where all numbers lie within 0 and 1, else x1 y1 x2 y2. A column is of one form.

    Parameters
    ----------
    names : list of str
    texts : polars.Series
        Null and empty lists are no box.
    confidences : polars.Series, optional
        As many numbers a cell as there are boxes; only asked for where a cell holds several.
    form : {"auto", "xyxy", "xywh", "yolo"}
    where : callable
        Row (0-based) -> its place, for error lines.

    Raises
    ------
    FinblendError
        If a cell is no box, or cells are of several forms.
    """
    shapes = _shapes(texts)
    layouts = {shape: _layout(shape) for shape in shapes.unique()}
    described = [layouts[shape] for shape in shapes]
    depth, boxes, each = np.array(described, dtype=np.int64).reshape(-1, 3).T

    def told(row: int) -> str:
        return f"{where(row)} '{texts[row]}'"

    _refuse_rows(depth < 0, told, "a box is four numbers, in brackets or not: [[x1 y1 x2 y2]], [x, y, w, h]")
    full = boxes > 0
    flat = texts.str.extract_all(_NUMBER).explode().cast(pl.Float64).drop_nulls().to_numpy()
    owner = np.repeat(np.arange(len(names)), boxes)
    width = np.repeat(each, boxes)
    start = np.cumsum(width) - width
    if form == "auto" and full.any():
        first = int(full.argmax())
        _refuse_rows(
            full & (depth != depth[first]), told, f"is bracketed unlike row {first + 1}; say which form the boxes have"
        )
        plain = flat[start[:, None] + (width > 4)[:, None] + np.arange(4)]
        form = _DEPTH_FORM.get(int(depth[first]), "yolo" if _within_one(plain).all() else "xyxy")
    if form == "auto":  # there are no boxes at all
        form = "xyxy"
    if form != "yolo":
        _refuse_rows(each > 4, told, f"a box of the form {form} is four numbers")
    # YOLO: [class] cx cy w h [confidence]
    numbers = flat[start[:, None] + (width > 4)[:, None] + np.arange(4)]
    scores = np.full(len(owner), np.nan)
    scores[width == 6] = flat[start[width == 6] + 5]
    classes = [f"{flat[first]:g}" if numbers > 4 else "" for first, numbers in zip(start, width, strict=True)]
    if confidences is not None and (boxes > 1).any():
        _read_confidences(confidences, boxes, scores, where)
    return Candidates(names, owner, numbers, scores, form, lambda box: told(int(owner[box])), classes)


def _shapes(texts: pl.Series) -> pl.Series:
    """Each text with `#` for a number and a space for what stands between two; 51,033 boxes have two shapes."""
    return (
        texts.fill_null("")
        .str.replace_all(_NUMBER, "#")
        .str.replace_all(r"[\s,;]+", " ")
        .str.strip_chars()
        .str.replace_all("(", "[", literal=True)
        .str.replace_all(")", "]", literal=True)
    )


def _layout(shape: str) -> tuple[int, int, int]:
    """Return depth of brackets, number of boxes and numbers a box; depth -1 for what is no box."""
    if "##" in shape:
        return -1, 0, 0
    patterns = (_NO_BRACKETS, _SINGLE, _DOUBLE)
    depth = next((depth for depth, pattern in enumerate(patterns) if pattern.fullmatch(shape)), -1)
    counts = {group.count("#") for group in re.findall(r"[# ]+", shape)} - {0}
    if not counts:
        return depth, 0, 0
    each = max(counts)
    if len(counts) > 1 or each not in ({4, 5, 6} if depth < 2 else {4}):
        return -1, 0, 0
    return depth, shape.count("#") // each, each


def _within_one(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(((numbers >= -_SLACK) & (numbers <= 1 + _SLACK)).all(axis=1))


def _read_confidences(
    confidences: pl.Series, boxes: np.ndarray, scores: np.ndarray, where: Callable[[int], str]
) -> None:
    """Fill in the scores of the rows that hold several boxes."""
    end = np.cumsum(boxes)
    for row in np.flatnonzero(boxes > 1).tolist():
        text = confidences[row]
        shape = _shapes(pl.Series([text], dtype=pl.String))[0]
        confidence = [float(number) for number in re.findall(_NUMBER, text or "")]
        if not re.fullmatch(r"[\[\]# ]*", shape) or "##" in shape or len(confidence) not in {0, boxes[row]}:
            raise FinblendError(
                f"{where(row)}: {confidences.name} '{text}' needs one number for each of the {boxes[row]} boxes"
            )
        if confidence:
            scores[end[row] - boxes[row] : end[row]] = confidence


def _refuse(bad: np.ndarray, candidates: Candidates, rule: str) -> None:
    _refuse_rows(bad, candidates.where, rule)


def _refuse_rows(bad: np.ndarray, where: Callable[[int], str], rule: str) -> None:
    if bad.any():
        raise FinblendError(f"{where(int(bad.argmax()))}: {rule}")
