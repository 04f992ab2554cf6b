"""Views of photos: boxes go where their pixels go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boxed import patch_photo, seen
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backbones.detection.photos import BoxedPhoto, TrainingViews, WholePhotos, together
from backbones.detection.view import View, Zoom, decoded_for
from backbones.training.augment import Augment

FRAME = (96, 128)
ZOOM = Zoom()


@pytest.mark.parametrize(
    ("name", "size", "box", "apart"),
    [
        ("a.png", (200, 120), (60, 30, 130, 90), 1.5),
        ("a.png", (90, 240), (0, 100, 90, 240), 1.5),
        # decoded smaller than it is
        ("a.jpg", (1601, 1203), (201, 307, 1100, 1000), 2.5),
    ],
)
def test_boxes_follow_the_pixels(
    tmp_path: Path, name: str, size: tuple[int, int], box: tuple[int, int, int, int], apart: float
) -> None:
    patch_photo(tmp_path / name, size, box)
    boxes, photo = np.array([box], dtype=np.float64), (size[1], size[0])
    decoded = decoded_for(tmp_path / name, FRAME, ZOOM.most)
    assert decoded.scale == (4 if name == "a.jpg" else 1)
    views = [View.drawn(FRAME, photo, boxes, ZOOM, np.random.default_rng(seed)) for seed in range(30)]
    for view in [View.whole(FRAME, photo), *views]:
        pixels = view.pixels(decoded)
        assert (pixels.shape, pixels.dtype) == ((*FRAME, 3), np.uint8)
        np.testing.assert_allclose(view.to_frame(boxes)[0], seen(pixels), atol=apart)
        assert view.shares(boxes)[0] >= ZOOM.kept
    assert {view.mirrored for view in views} == {True, False}
    # some are nearer than the whole photo, and some are farther
    whole = View.whole(FRAME, photo)
    assert min(view.across for view in views) < 0.85 * whole.across < 1.15 * whole.across < max(v.across for v in views)


SIDES = st.integers(20, 3000)


@given(SIDES, SIDES, st.integers(0, 10**6), arrays(np.float64, (3, 2, 2), elements=st.floats(0, 1)))
def test_from_the_photo_to_the_frame_and_back(height: int, width: int, seed: int, shares: np.ndarray) -> None:
    edges = np.sort(shares, axis=1) * [width, height]
    boxes = edges.reshape(3, 4)
    view = View.drawn(FRAME, (height, width), np.zeros((0, 4)), ZOOM, np.random.default_rng(seed))
    frame = view.to_frame(boxes)
    assert (frame >= 0).all()
    assert (frame[:, 2:] <= [FRAME[1], FRAME[0]]).all()
    assert (frame[:, :2] <= frame[:, 2:]).all()
    # what was not cut comes back
    inside = (frame > 0) & (frame < [FRAME[1], FRAME[0]] * 2)
    back = view.to_photo(frame)
    order = [2, 1, 0, 3] if view.mirrored else [0, 1, 2, 3]
    np.testing.assert_allclose(back[inside[:, order]], boxes[inside[:, order]], atol=1e-6 * max(height, width))


def test_the_same_draw_is_the_same_view_and_an_epoch_shows_each_photo_once(tmp_path: Path) -> None:
    patch_photo(tmp_path / "a.jpg", (96, 72), (10, 10, 50, 50))
    photo = BoxedPhoto("a", str(tmp_path / "a.jpg"), (72, 96), np.array([[10.0, 10, 50, 50]]), np.array([2]))
    views = TrainingViews([photo] * 5, FRAME, seed=3)
    assert sorted(row for _, _, row in views.draws(0)) == [0, 1, 2, 3, 4]
    assert views.draws(0) != views.draws(1)
    pixels, targets = together([views[0, 0, 0], views[0, 0, 0], views[0, 1, 0]])
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] != pixels[2]).any()
    assert [target["labels"].tolist() for target in targets] == [[2]] * 3
    assert (targets[0]["boxes"] != targets[2]["boxes"]).any()


def test_a_photo_without_an_animal_is_shown_and_has_no_box(tmp_path: Path) -> None:
    patch_photo(tmp_path / "a.png", (96, 72), None)
    photo = BoxedPhoto("a", str(tmp_path / "a.png"), (72, 96), np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    calm = Augment(rotate=0, flip=0, hue=0, saturation=0, value=0, contrast=0, brightness=0, jitter=0)
    pixels, boxes, classes = TrainingViews([photo], FRAME, 0, colours=calm)[0, 0, 0]
    assert (tuple(pixels.shape), tuple(boxes.shape), tuple(classes.shape)) == ((*FRAME, 3), (0, 4), (0,))
    assert seen(pixels.numpy()) is None


def test_photos_that_cannot_be_read_are_grey_and_noted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    shown = WholePhotos([str(tmp_path / "a.jpg")], FRAME)[0]
    assert shown.failed
    assert shown.note.startswith("unreadable")
    assert (shown.pixels == 128).all()
