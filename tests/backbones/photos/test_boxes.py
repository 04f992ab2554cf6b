"""Boxes in the forms people have, on their photos."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.photos import Box, jittered, reaches_outside, read_boxes
from cv import FinblendError


def frame_of(cells: Any, **columns: Any) -> pl.DataFrame:
    images = [f"{chr(ord('a') + i)}.jpg" for i in range(len(cells))]
    return pl.DataFrame({"image": images, "bbox": cells, **columns}, strict=False)


def edges(cells: Any, form: str = "auto", **columns: Any) -> list[tuple[float, ...] | None]:
    """The box of each cell, as its four edges."""
    frame = frame_of(cells, **columns)
    boxes = read_boxes("bbox", frame, form)
    found = [boxes.get(image) for image in frame["image"]]
    return [box and (box.x1, box.y1, box.x2, box.y2) for box in found]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[[10 20 110 220]]", (10, 20, 110, 220)),
        ("[[ 10   20  110.5  2.2e2 ]]", (10, 20, 110.5, 220)),
        ("[[10, 20, 110, 220]]", (10, 20, 110, 220)),
        ("10 20 110 220", (10, 20, 110, 220)),
        ("10,20,110,220", (10, 20, 110, 220)),
        ("[10, 20, 100, 200]", (10, 20, 110, 220)),
        ("(10, 20, 100, 200)", (10, 20, 110, 220)),
        ("[-10, 20, 100, 200]", (-10, 20, 90, 220)),
        ([10.0, 20.0, 100.0, 200.0], (10, 20, 110, 220)),
        ([10, 20, 100, 200], (10, 20, 110, 220)),
        ([[10, 20, 110, 220]], (10, 20, 110, 220)),
    ],
)
def test_brackets_tell_the_form(cell: Any, expected: tuple[float, ...]) -> None:
    assert edges([cell]) == [expected]
    assert not read_boxes("bbox", frame_of([cell]))["a.jpg"].relative


@pytest.mark.parametrize("cell", ["0.5 0.25 0.2 0.1", "7 0.5 0.25 0.2 0.1", "0 0.5 0.25 0.2 0.1 0.93"])
def test_bare_shares_are_yolo(cell: str) -> None:
    box = read_boxes("bbox", frame_of([cell]))["a.jpg"]
    assert box.relative
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((0.4, 0.2, 0.6, 0.3))
    assert box.pixels(1000, 400) == (400, 80, 600, 120)


def test_one_number_beyond_one_makes_a_column_pixels() -> None:
    assert edges(["0 0 1 1", "0 0 20 30"]) == [(0, 0, 1, 1), (0, 0, 20, 30)]
    assert not read_boxes("bbox", frame_of(["0 0 1 1", "0 0 20 30"]))["a.jpg"].relative


def test_shares_stay_shares_in_every_form() -> None:
    assert read_boxes("bbox", frame_of(["[0.1, 0.25, 0.5, 0.5]"]))["a.jpg"] == Box(0.1, 0.25, 0.6, 0.75, True)
    assert read_boxes("bbox", frame_of(["[[0.1 0.25 0.5 0.5]]"]))["a.jpg"] == Box(0.1, 0.25, 0.5, 0.5, True)


def test_a_form_that_is_said_overrides() -> None:
    assert edges(["[10, 20, 110, 220]"], "xyxy") == [(10, 20, 110, 220)]
    assert edges(["[[10 20 100 200]]", "10 20 100 200"], "xywh") == [(10, 20, 110, 220)] * 2
    assert edges(["[0.5, 0.5, 0.5, 0.5]"], "yolo") == [(0.25, 0.25, 0.75, 0.75)]


@pytest.mark.parametrize("empty", [None, "", "  ", "[]", "[[]]", "[ ]"])
def test_empty_cells_are_no_box(empty: str | None) -> None:
    assert edges([empty, "[[1 2 30 40]]"]) == [None, (1, 2, 30, 40)]
    assert edges([empty]) == [None]


def test_empty_lists_are_no_box() -> None:
    assert edges([[], None, [1.0, 2.0, 3.0, 4.0]]) == [None, None, (1, 2, 4, 6)]


def test_the_most_confident_box_is_taken_else_the_largest() -> None:
    two = "[[0 0 100 100]\n [5 5 20 20]]"
    assert edges([two]) == [(0, 0, 100, 100)]
    assert edges([two, "[]", "[[1 1 2 2]]"], conf=["[0.2 0.9]", "[]", "0.3"])[0] == (5, 5, 20, 20)
    assert edges([two], score=["[0.9, 0.2]"]) == [(0, 0, 100, 100)]
    assert edges([two], confidence=[None]) == [(0, 0, 100, 100)]
    assert edges([[[0, 0, 100, 100], [5, 5, 20, 20]]], conf=[[0.2, 0.9]]) == [(5, 5, 20, 20)]
    # a number beside a single box may be about something else
    assert edges(["[[1 2 3 4]]"], conf=["whatever"]) == [(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("cells", "form", "message"),
    [
        (["[[1 2 3 4]]", "[[nan 2 3 4]]"], "auto", r"row 2: bbox '\[\[nan 2 3 4\]\]': a box is four numbers"),
        (["[1, 2, 3, 4]", "no fin"], "auto", "row 2: bbox 'no fin': a box is four numbers"),
        (["[1, 2, 3]"], "auto", "row 1: .*four numbers"),
        (["[1, 2, 3, 4"], "auto", "row 1: .*four numbers"),
        (["[[1 2 3 4] [1 2 3]]"], "auto", "row 1: .*four numbers"),
        (["1.2.3 4 5"], "auto", "row 1: .*four numbers"),
        (["1-2 3 4"], "auto", "row 1: .*four numbers"),
        (["5 100 20 300 400"], "auto", "row 1: .*form xyxy is four numbers"),
        (["[[1 2 1e999 4]]"], "auto", "row 1: .*finite"),
        (["[[1 2 3 4]]", "[[30 2 3 4]]"], "auto", r"row 2: bbox '\[\[30 2 3 4\]\]': .*x1 <= x2"),
        (["[1, 2, -3, 4]"], "auto", "row 1: .*w >= 0"),
        (["0.5 0.5 -0.1 0.1", "0.5 0.5 0.1 1.1"], "yolo", "row 1: .*within 0 and 1"),
        (["[1, 2, 3, 4]", None, "[[1 2 3 4]]"], "auto", "row 3: .*unlike row 1; say which form"),
        (["[1, 2, 3, 4]"], "xxyy", "xxyy: no form of boxes"),
        ([[1.0, float("nan"), 3.0, 4.0]], "auto", "row 1: .*four numbers"),
        ([7.5], "auto", "row 1: bbox '7.5': a box is four numbers"),
    ],
)
def test_what_is_no_box_is_refused_in_one_line(cells: Any, form: str, message: str) -> None:
    with pytest.raises(FinblendError, match=message) as caught:
        edges(cells, form)
    assert "\n" not in str(caught.value)


def test_confidences_must_match_the_boxes() -> None:
    with pytest.raises(FinblendError, match=r"row 1: bbox: conf '\[0.5\]' needs one number for each of the 2 boxes"):
        edges(["[[1 2 3 4] [1 2 4 5]]"], conf=["[0.5]"])


def test_boxes_are_clipped_and_rounded_and_tiny_ones_are_none() -> None:
    assert Box(10.4, 10.5, 20.4, 30.6).pixels(100, 100) == (10, 11, 20, 31)
    assert Box(-50, -50, 500, 500).pixels(100, 80) == (0, 0, 100, 80)
    assert Box(0, 0, 9, 100).pixels(100, 100) is None
    assert Box(0, 0, 10, 10).pixels(100, 100) == (0, 0, 10, 10)
    assert Box(95, 0, 300, 100).pixels(100, 100) is None  # five pixels are left
    assert Box(200, 0, 300, 100).pixels(100, 100) is None
    assert Box(5, 5, 5, 5).pixels(100, 100) is None


def test_five_percent_beyond_the_photo_is_outside() -> None:
    assert not reaches_outside(Box(-5, -10, 105, 210), 100, 200)
    for box in (Box(-6, 0, 9, 9), Box(0, -11, 9, 9), Box(0, 0, 106, 9), Box(0, 0, 9, 211)):
        assert reaches_outside(box, 100, 200)
    assert reaches_outside(Box(0, 0, 1.06, 1, True), 100, 200)
    assert not reaches_outside(Box(0, 0, 1.04, 1, True), 100, 200)


SIDE = st.integers(10, 4000)


@given(st.data(), SIDE, SIDE)
def test_one_box_is_the_same_in_every_form(data: st.DataObject, width: int, height: int) -> None:
    x1, y1 = data.draw(st.integers(0, width - 10)), data.draw(st.integers(0, height - 10))
    x2, y2 = data.draw(st.integers(x1 + 10, width)), data.draw(st.integers(y1 + 10, height))
    yolo = f"0 {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
    for cell in (f"[[{x1} {y1} {x2} {y2}]]", f"[{x1}, {y1}, {x2 - x1}, {y2 - y1}]", yolo):
        assert read_boxes("bbox", frame_of([cell]))["a.jpg"].pixels(width, height) == (x1, y1, x2, y2)


@given(st.data(), SIDE, SIDE, st.floats(0, 3), st.integers(0, 99))
def test_jittered_boxes_stay_valid(data: st.DataObject, width: int, height: int, share: float, seed: int) -> None:
    x1, y1 = data.draw(st.integers(0, width - 10)), data.draw(st.integers(0, height - 10))
    x2, y2 = data.draw(st.integers(x1 + 10, width)), data.draw(st.integers(y1 + 10, height))
    moved = jittered((x1, y1, x2, y2), width, height, share, np.random.default_rng(seed))
    assert moved == jittered((x1, y1, x2, y2), width, height, share, np.random.default_rng(seed))
    assert 0 <= moved[0] <= moved[2] - 10 <= width - 10
    assert 0 <= moved[1] <= moved[3] - 10 <= height - 10
    for before, after, size in zip((x1, y1, x2, y2), moved, (x2 - x1, y2 - y1) * 2, strict=True):
        assert isinstance(after, int)
        assert abs(after - before) <= share * size + 0.5


def test_jitter_uses_the_whole_share_both_ways() -> None:
    rng = np.random.default_rng(0)
    moved = np.array([jittered((300, 400, 500, 800), 1000, 1000, 0.1, rng) for _ in range(2000)])
    np.testing.assert_allclose(moved.min(axis=0), [280, 360, 480, 760], atol=1)
    np.testing.assert_allclose(moved.max(axis=0), [320, 440, 520, 840], atol=1)
    np.testing.assert_allclose(moved.mean(axis=0), [300, 400, 500, 800], atol=2)
    assert jittered((300, 400, 500, 800), 1000, 1000, 0.0, rng) == (300, 400, 500, 800)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "boxes", "first"),
    [
        ("train_backfin", 50_863, (0, 95, 804, 647)),
        ("train_fullbody", 51_032, (0, 103, 803, 656)),
        ("test_backfin", 27_832, (2396, 1037, 2590, 1131)),
        ("test_fullbody", 27_956, (301, 810, 2992, 1346)),
    ],
)
def test_real_boxes(real_data: Path, name: str, boxes: int, first: tuple[int, ...]) -> None:
    path = real_data / "happywhale" / f"{name}_boxes.csv"
    frame = pl.read_csv(path, columns=["image"])
    start = time.process_time()
    read = read_boxes(str(path), frame)
    assert time.process_time() - start < 2
    assert len(read) == boxes
    box = read[frame["image"][0]]
    assert (box.x1, box.y1, box.x2, box.y2, box.relative) == (*first, False)
    assert len(read_boxes(f"{path}:bbox", frame[:10])) == 10
