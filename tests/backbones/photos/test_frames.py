"""From a photo and a box to what a network is shown: squashed, padded, cropped, moved."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import PLAIN, apart, scene
from PIL import Image

from backbones.photos import Box, Frame, fit, show
from cv import FinblendError


def test_squash_pad_and_crop_by_hand() -> None:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    squashed = fit(image, None, Frame(20, 20, interpolation="nearest"))
    assert (squashed[:, :10] == (255, 0, 0)).all()
    assert (squashed[:, 10:] == (0, 0, 255)).all()
    padded = fit(image, None, Frame(20, 20, "pad", fill=(1, 2, 3)))
    assert (padded[:5] == (1, 2, 3)).all()
    assert (padded[15:] == (1, 2, 3)).all()
    assert (padded[5:15, :8] == (255, 0, 0)).all()
    assert (padded[5:15, 12:] == (0, 0, 255)).all()
    cropped = fit(image, None, Frame(20, 20, "crop"))
    np.testing.assert_array_equal(cropped, np.asarray(image.crop((10, 0, 30, 20))))
    right = fit(image, (20, 0, 40, 20), Frame(7, 9, "crop"))
    assert (right[:, 1:] == (0, 0, 255)).all()  # the first column's filter also looks at what is left of the box
    wide = fit(image, (20, 0, 40, 10), Frame(10, 10, "pad", fill=(1, 2, 3)))
    assert (wide[[0, 1, 8, 9]] == (1, 2, 3)).all()
    assert (wide[3:7, 2:] == (0, 0, 255)).all()


def test_pixels_are_averaged_not_skipped() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for interpolation in ("bilinear", "bicubic", "lanczos"):
        shown = fit(Image.fromarray(stripes), None, Frame(4, 4, interpolation=interpolation))
        assert np.abs(shown.astype(int) - 128).max() < 12
    assert set(np.unique(fit(Image.fromarray(stripes), None, Frame(4, 4, interpolation="nearest")))) <= {0, 255}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "needs sides of 1 to 8192"),
        ({"width": -4}, "needs sides of 1 to 8192"),
        ({"resize": "stretch"}, "resize 'stretch' is none of squash, pad, crop"),
        ({"interpolation": "cubic"}, "interpolation 'cubic' is none of"),
        ({"fill": (0, 0, 256)}, "fill .* needs red, green and blue"),
        ({"fill": (0, 0)}, "fill .* needs red, green and blue"),
    ],
)
def test_frames_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FinblendError, match=message):
        Frame(**{"height": 8, "width": 8, **change})


def test_one_decode_serves_all_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, real = tmp_path / "a.png", [], Image.open
    scene().save(path)
    monkeypatch.setattr(Image, "open", lambda *args, **more: (opened.append(args), real(*args, **more))[1])
    boxes = [None, Box(10, 10, 40, 40), Box(90, 10, 95, 60), Box(0, 0, 300, 64), Box(500, 0, 600, 64)]
    shown = show(path, boxes, Frame(16, 16))
    assert len(opened) == 1
    assert shown.fallback == (False, False, True, False, True)
    assert shown.outside == (False, False, False, True, True)
    assert shown.pixels is not None
    expected = [None, (10, 10, 40, 40), None, (0, 0, 96, 64), None]
    for pixels, place in zip(shown.pixels, expected, strict=True):
        np.testing.assert_array_equal(pixels, fit(scene(), place, Frame(16, 16)))
    assert show(path, [], Frame(16, 16)).pixels.shape == (0, 16, 16, 3)


def test_jitter_moves_boxes_and_crops_whole_photos(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene().save(path)

    def drawn(seed: int) -> np.ndarray:
        pixels = show(path, [None, Box(20, 20, 60, 50)], PLAIN, jitter=0.2, rng=np.random.default_rng(seed)).pixels
        assert pixels is not None
        return pixels

    np.testing.assert_array_equal(drawn(3), drawn(3))
    for which in (0, 1):
        assert apart(drawn(3)[which], drawn(4)[which]) > 0.5


def test_frames_and_boxes_travel_to_workers(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    for thing in (PLAIN, Box(1, 2, 3, 4, True)):
        assert pickle.loads(pickle.dumps(thing)) == thing
    shown = show(tmp_path / "a.png", [None], PLAIN)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shown)).pixels, shown.pixels)
