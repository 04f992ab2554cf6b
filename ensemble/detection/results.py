"""What `detect train` and `detect apply` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class DetectTrainResult(Result):
    """A trained detector.

    Attributes
    ----------
    folder : Path
    network : str
    classes : mapping of class to its number of boxes
    photos, held_out : int
        Photos that it was trained on and that it was measured on.
    without_animal : int
        How many of all these have no box.
    problems : mapping of photo to what is wrong with it
        Photos of the table that are not used.
    epoch : int
        The one that is kept: of the largest mean IoU on the held-out photos.
    measured : mapping of str to float
        `map50`, `mean_iou`, `recall`, `false_alarms` (where there are photos without an animal) on the held-out photos.
    min_score : float
        Score from which on a box counts in `mean_iou`, `recall` and `false_alarms`.
    curve : list of mapping
        One row an epoch.
    finished_before : bool
        An earlier call had done it all.
    seconds : float
    """

    folder: Path
    network: str
    classes: Mapping[str, int]
    photos: int
    held_out: int
    without_animal: int
    problems: Mapping[str, str]
    epoch: int
    measured: Mapping[str, float]
    min_score: float
    curve: list[dict[str, float]]
    finished_before: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DetectApplyResult(Result):
    """Boxes that were found.

    Attributes
    ----------
    path : Path
        The table that was written.
    photos : int
        That were looked at.
    boxes : mapping of class to the number of its boxes in the table
    without_box : list of str
        Photos on which nothing has the least score.
    problems : mapping of photo to what is wrong with it
        Those that could not be read have no box, either.
    min_score : float
    computed : int
        Photos that this call looked at; an earlier one, which was killed, looked at the others.
    seconds, photos_per_second : float
    """

    path: Path
    photos: int
    boxes: Mapping[str, int]
    without_box: list[str]
    problems: Mapping[str, str]
    min_score: float
    computed: int
    seconds: float
    photos_per_second: float
