"""Where on its photo an animal is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from backbones.photos.box_files import images_of, read_coco, read_column, read_labels
from backbones.photos.box_forms import FORMS, Candidates, best, corners
from cv.errors import FinblendError

# x1, y1, x2, y2 in whole pixels of the upright photo; x2 and y2 lie just beyond the box
PixelBox: TypeAlias = tuple[int, int, int, int]

# a box with a shorter side shows no animal that any network could tell from another
SMALLEST = 10
# boxes may be drawn a little beyond the photo; this share of its side is too much
_BEYOND = 0.05


@dataclass(frozen=True, slots=True)
class Box:
    """A box on an upright photo.

    Attributes
    ----------
    x1, y1, x2, y2 : float
        Left, upper, right and lower edge.
    relative : bool
        The edges are shares of the photo's width and height, not pixels.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    relative: bool = False

    def edges(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Edges in pixels of a photo of this size, not clipped."""
        across, down = (width, height) if self.relative else (1, 1)
        return self.x1 * across, self.y1 * down, self.x2 * across, self.y2 * down

    def pixels(self, width: int, height: int) -> PixelBox | None:
        """Rounded to whole pixels and clipped to the photo; None if what is left has a side under 10 pixels.

        Examples
        --------
        >>> Box(-5, 10.4, 60, 900).pixels(100, 80)
        (0, 10, 60, 80)
        """
        x1, y1, x2, y2 = self.edges(width, height)
        left, right = _clipped(x1, width), _clipped(x2, width)
        upper, lower = _clipped(y1, height), _clipped(y2, height)
        return (left, upper, right, lower) if min(right - left, lower - upper) >= SMALLEST else None


def _clipped(edge: float, side: int) -> int:
    return int(min(max(edge + 0.5, 0), side))


def reaches_outside(box: Box, width: int, height: int) -> bool:
    """Whether a box reaches beyond the photo by more than 5 % of its side: a sign of a wrongly read form."""
    x1, y1, x2, y2 = box.edges(width, height)
    across, down = _BEYOND * width, _BEYOND * height
    return x1 < -across or y1 < -down or x2 > width + across or y2 > height + down


def jittered(box: PixelBox, width: int, height: int, share: float, rng: np.random.Generator) -> PixelBox:
    """Move each edge by up to a share of the box's size, for training.

    Parameters
    ----------
    box : tuple of int
        Pixels, inside the photo.
    width, height : int
        Of the photo.
    share : float
        Each edge moves by a uniform number within -share and +share, times the box's width or height.
    rng : numpy.random.Generator
        Four numbers are drawn, whatever comes of them.

    Returns
    -------
    tuple of int
        Inside the photo; a direction in which less than 10 pixels (or than the box had) would be left stays as it was.
    """
    moves = rng.uniform(-share, share, 4) if share > 0 else np.zeros(4)
    out = list(box)
    for low, side in ((0, width), (1, height)):
        size = box[low + 2] - box[low]
        start = _clipped(box[low] + moves[low] * size, side)
        end = _clipped(box[low + 2] + moves[low + 2] * size, side)
        if end - start >= min(SMALLEST, size):
            out[low], out[low + 2] = start, end
    return out[0], out[1], out[2], out[3]


def read_boxes(spec: str, frame: pl.DataFrame, form: str = "auto") -> dict[str, Box]:
    """Read one box an image.

    Parameters
    ----------
    spec : str
        `FILE.csv` or `.parquet` (with a column image, image_id or path), with `:COLUMN` if the boxes are not in bbox or
        box; or a column of the catalogue; or a folder of YOLO labels; or a COCO file. Of several boxes on a photo the
        most confident is taken (column conf, confidence or score; YOLO's sixth number; COCO's score), else the largest.
    frame : polars.DataFrame
        The catalogue: column `image`, perhaps `path`.
    form : {"auto", "xyxy", "xywh", "yolo"}
        What the four numbers are. Numbers that all lie within 0 and 1 are shares of the photo in every form.
        `auto`: YOLO in a folder, x y w h in COCO; in a column `[[...]]` is x1 y1 x2 y2, `[...]` x y w h, and bare
        numbers are YOLO where all lie within 0 and 1, else x1 y1 x2 y2.

    Returns
    -------
    dict of str to Box
        Images without a box are absent.

    Raises
    ------
    FinblendError
        If a box is not four finite numbers or has a negative size, or no image of the catalogue is named.
    """
    candidates, source = _read(spec, frame, form)
    by_stem = spec not in frame.columns and Path(spec).is_dir()
    edges, relative = corners(candidates)
    images = images_of(candidates.names, frame, source, by_stem)
    out: dict[str, Box] = {}
    rows = best(candidates, edges)
    for owner, (x1, y1, x2, y2) in zip(candidates.owner[rows].tolist(), edges[rows].tolist(), strict=True):
        image = images[owner]
        if image is not None:
            out[image] = Box(x1, y1, x2, y2, relative)
    return out


def _read(spec: str, frame: pl.DataFrame, form: str, every: bool = False) -> tuple[Candidates, str]:
    """Every box of whatever `spec` means, and what to call the place."""
    if form not in FORMS:
        raise FinblendError(f"{form}: no form of boxes; one of {', '.join(FORMS)}")
    path = Path(spec)
    if spec not in frame.columns and path.is_dir():
        return read_labels(path, form), spec
    if spec not in frame.columns and path.suffix.lower() == ".json":
        return read_coco(path, form), spec
    return read_column(spec, frame, form, every)


@dataclass(frozen=True)
class BoxTable:
    """Every box of a file, with what it shows.

    Attributes
    ----------
    source : str
        What to call the file.
    names : list of str
        Photos, as the file names them; some may have no box.
    owner : (m,) int array
        Index into `names` of each box.
    boxes : list of Box
    classes : list of str
        What each box shows; empty where the file does not say.
    where : callable
        Box index -> where it stands and what is written there, for error lines.
    """

    source: str
    names: list[str]
    owner: np.ndarray
    boxes: list[Box]
    classes: list[str]
    where: Callable[[int], str]


def read_every_box(spec: str, form: str = "auto") -> BoxTable:
    """Read all boxes of a file, of photos that no catalogue needs to know.

    Parameters
    ----------
    spec : str
        As for `read_boxes`, but no column of the catalogue. In a table a photo may have several rows, and a column
        `class`, `label` or `category` says what the boxes of a row show: one word, or a list of one a box. YOLO's class
        numbers are named by `classes.txt` in the folder, COCO's by its categories.
    form : {"auto", "xyxy", "xywh", "yolo"}

    Raises
    ------
    FinblendError
        If a box is not four finite numbers or has a negative size.
    """
    candidates, source = _read(spec, pl.DataFrame(), form, every=True)
    edges, relative = corners(candidates)
    boxes = [Box(x1, y1, x2, y2, relative) for x1, y1, x2, y2 in edges.tolist()]
    classes = candidates.classes or [""] * len(boxes)
    return BoxTable(source, candidates.names, candidates.owner, boxes, classes, candidates.where)
