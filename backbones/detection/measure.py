"""How good boxes are on photos whose true boxes are known: average precision, and the crop that would be cut."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from backbones.detection.photos import BoxedPhoto
from backbones.vision import load

EXTRA = "detect"
# an IoU of which a true box counts as found
MET = 0.5


@dataclass(frozen=True)
class FoundOn:
    """What was found on one photo, in its pixels, the best first.

    Attributes
    ----------
    boxes : (n, 4) float64 array
    scores : (n,) float64 array
    classes : (n,) int64 array
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def above(self, least: float) -> FoundOn:
        """Those with such a score."""
        return self.where(self.scores >= least)

    def where(self, keep: np.ndarray) -> FoundOn:
        """Those that are asked for."""
        return FoundOn(self.boxes[keep], self.scores[keep], self.classes[keep])


@dataclass(frozen=True)
class Measured:
    """Figures of a detector.

    Attributes
    ----------
    map50 : float
        Average precision at an IoU of 0.5, the mean over the classes (COCO's, by pycocotools).
    mean_iou : float
        Of the crops: for every photo and class that is on it, the IoU of the box with the highest score with the true
        box that it shares most with; 0 where no box has the least score.
    recall : float
        Share of the true boxes that some box of the least score meets with an IoU of 0.5.
    false_alarms : float or None
        Share of the photos without an animal on which some box has the least score; None where there is none such.
    photos : int
    """

    map50: float
    mean_iou: float
    recall: float
    false_alarms: float | None
    photos: int

    def as_row(self) -> dict[str, float]:
        """What a curve holds."""
        row = {name: value for name, value in asdict(self).items() if value is not None and name != "photos"}
        return {name: float(value) for name, value in row.items()}


def iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, m) intersections over unions of (n, 4) and (m, 4) boxes; 0 where there is no area.

    Examples
    --------
    >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod((high - low).clip(min=0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (left, right)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-12))


def measure(photos: Sequence[BoxedPhoto], found: Sequence[FoundOn], classes: int, least: float) -> Measured:
    """Measure what was found on photos.

    Parameters
    ----------
    photos : sequence of BoxedPhoto
    found : sequence of FoundOn
        Of these photos, in their order.
    classes : int
    least : float
        Score of a box that would be used.
    """
    crops: list[float] = []
    met = alarms = empty = 0
    for photo, boxes in zip(photos, found, strict=True):
        used = boxes.above(least)
        if not len(photo.boxes):
            empty += 1
            alarms += bool(len(used.boxes))
        for kind in np.unique(photo.classes):
            true, mine = photo.boxes[photo.classes == kind], used.boxes[used.classes == kind]
            shared = iou(true, mine)
            crops.append(float(shared[:, 0].max()) if len(mine) else 0.0)
            met += int((shared.max(axis=1, initial=0.0) >= MET).sum())
    n_boxes = sum(len(photo.boxes) for photo in photos)
    return Measured(
        map50=average_precision(photos, found, classes),
        mean_iou=float(np.mean(crops)) if crops else 0.0,
        recall=met / max(n_boxes, 1),
        false_alarms=alarms / empty if empty else None,
        photos=len(photos),
    )


def average_precision(photos: Sequence[BoxedPhoto], found: Sequence[FoundOn], classes: int) -> float:
    """COCO's average precision at an IoU of 0.5, the mean over the classes that are on these photos."""
    coco = load("pycocotools.coco", EXTRA)
    evaluation = load("pycocotools.cocoeval", EXTRA)
    sized = [
        (place, *box, int(kind))
        for place, photo in enumerate(photos)
        for box, kind in zip(_as_xywh(photo.boxes), photo.classes, strict=True)
    ]
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": place} for place in range(len(photos))],
        "categories": [{"id": kind} for kind in range(classes)],
        "annotations": [
            {"id": n + 1, "image_id": place, "bbox": box, "area": box[2] * box[3], "category_id": kind, "iscrowd": 0}
            for n, (place, *box, kind) in enumerate(sized)
        ],
    }
    rows = [
        [place, *box, score, kind]
        for place, each in enumerate(found)
        for box, score, kind in zip(_as_xywh(each.boxes), each.scores, each.classes, strict=True)
    ]
    if not rows or not sized:
        return 0.0
    # it talks on standard output
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        scored = evaluation.COCOeval(truth, truth.loadRes(np.array(rows, dtype=np.float64)), "bbox")
        scored.params.iouThrs = np.array([MET])
        scored.params.areaRng, scored.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        scored.evaluate()
        scored.accumulate()
    # (IoU, recall, class, area, most boxes a photo); -1 where a class is on no photo
    precision = scored.eval["precision"][0, :, :, 0, -1]
    known = precision[:, (precision > -1).any(axis=0)]
    return float(known.mean()) if known.size else 0.0


def _as_xywh(boxes: np.ndarray) -> list[list[float]]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()  # type: ignore[no-any-return]
