"""Figures of boxes, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.detection.measure import FoundOn, average_precision, iou, measure
from backbones.detection.photos import BoxedPhoto


def photo(*boxes: tuple[float, ...], kinds: tuple[int, ...] | None = None) -> BoxedPhoto:
    classes = np.array(kinds if kinds is not None else [0] * len(boxes), dtype=np.int64)
    return BoxedPhoto("p", "p.jpg", (100, 100), np.array(boxes, dtype=np.float64).reshape(-1, 4), classes)


def found(*boxes: tuple[float, ...]) -> FoundOn:
    """Boxes as x1, y1, x2, y2, score, class."""
    rows = np.array(boxes, dtype=np.float64).reshape(-1, 6)
    return FoundOn(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def test_intersections_over_unions() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 20, 30]])
    np.testing.assert_allclose(iou(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])


def test_crops_recall_and_false_alarms_by_hand() -> None:
    photos = [
        photo((0, 0, 10, 10), (50, 50, 90, 90)),
        photo((0, 0, 20, 10), (0, 0, 20, 20), kinds=(0, 1)),
        photo(),
        photo(),
    ]
    boxes = [
        # the best box meets the second animal in half of their union: its crop counts
        found((50, 50, 90, 70, 0.9, 0), (0, 0, 10, 10, 0.6, 0)),
        # nothing of class 1, and what there is of class 0 is all but the least score
        found((0, 0, 20, 10, 0.29, 0)),
        found((0, 0, 5, 5, 0.5, 0)),
        found((0, 0, 5, 5, 0.1, 0)),
    ]
    measured = measure(photos, boxes, 2, 0.3)
    assert measured.mean_iou == pytest.approx((0.5 + 0 + 0) / 3)
    assert measured.recall == pytest.approx(2 / 4)
    assert measured.false_alarms == 0.5
    assert measured.photos == 4
    assert measure(photos[:2], boxes[:2], 2, 0.2).mean_iou == pytest.approx((0.5 + 1 + 0) / 3)
    assert measure(photos[:2], boxes[:2], 2, 0.2).false_alarms is None


def test_average_precision_by_hand() -> None:
    photos = [photo((0, 0, 10, 10)), photo((0, 0, 10, 10))]
    right, wrong = (0, 0, 10, 10), (60, 60, 70, 70)
    assert average_precision(photos, [found((*right, 0.9, 0)), found((*right, 0.8, 0))], 1) == pytest.approx(1)
    assert average_precision(photos, [found((*right, 0.9, 0)), found()], 1) == pytest.approx(51 / 101)
    # a wrong box first: precision 1/2 up to a recall of 1/2, then 2/3, which holds for less recall, too
    mixed = [found((*wrong, 0.95, 0), (*right, 0.9, 0)), found((*right, 0.8, 0))]
    assert average_precision(photos, mixed, 1) == pytest.approx(2 / 3)
    assert average_precision(photos, [found(), found()], 1) == 0.0
    # a class that is on no photo does not count, one that is missed does
    two = [photo(right, (20, 20, 40, 40), kinds=(0, 2)), photo(right)]
    assert average_precision(two, [found((*right, 0.9, 0)), found((*right, 0.8, 0))], 3) == pytest.approx(1 / 2)


def test_it_says_nothing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    average_precision([photo((0, 0, 10, 10))], [found((0, 0, 10, 10, 0.9, 0))], 1)
    assert capsys.readouterr().out == ""
