"""Photos on the page: small copies, crops by boxes, and a page that does not grow without bound."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from alikes import Scene
from PIL import Image

from ensemble import Project, init, register
from ensemble.evaluation.confusions import confident_mistakes, confusions
from ensemble.report.page.album import SIDE, Album, small_copy


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("look"))


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    kind, _, data = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def near(pixel: object, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(pixel, colour, strict=True))  # type: ignore[call-overload]


def halves(path: Path, orientation: int | None = None) -> Path:
    """A wide photo, red left and blue right."""
    pixels = np.zeros((300, 800, 3), dtype=np.uint8)
    pixels[:, :400] = (255, 0, 0)
    pixels[:, 400:] = (0, 0, 255)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def test_a_photo_is_upright_and_cropped_to_its_box(tmp_path: Path) -> None:
    from backbones.photos import Box

    plain = opened(small_copy(halves(tmp_path / "a.jpg"), None)[0])
    assert plain.size == (SIDE, round(SIDE * 3 / 8))
    assert near(plain.getpixel((5, 5)), (255, 0, 0))
    # orientation 6: the camera was turned, left is up
    turned = opened(small_copy(halves(tmp_path / "b.jpg", 6), None)[0])
    assert turned.size == (round(SIDE * 3 / 8), SIDE)
    assert near(turned.getpixel((20, 5)), (255, 0, 0))
    assert near(turned.getpixel((20, SIDE - 5)), (0, 0, 255))
    right = opened(small_copy(tmp_path / "a.jpg", Box(420, 20, 780, 280))[0])
    assert right.size == (SIDE, round(SIDE * 260 / 360))
    assert near(right.getpixel((3, 3)), (0, 0, 255))
    # a box far outside its photo was read in a wrong form: the photo is shown whole
    assert opened(small_copy(tmp_path / "a.jpg", Box(420, 20, 2000, 280))[0]).size == plain.size
    # a photo smaller than a thumbnail stays as it is
    Image.new("RGB", (30, 20)).save(tmp_path / "c.jpg")
    assert opened(small_copy(tmp_path / "c.jpg", None)[0]).size == (30, 20)


def test_boxes_of_the_catalogue_crop_and_the_budget_holds(scene: Scene, tmp_path: Path) -> None:
    frame = pl.read_csv(scene.train_csv).with_columns(bbox=pl.lit("[[0 0 300 450]]"))
    frame.write_csv(tmp_path / "boxed.csv")
    init(tmp_path / "B", train=tmp_path / "boxed.csv", test=scene.sample_csv)
    album = Album(Project.open(tmp_path / "B"), [scene.photos])
    shot = album.shot("tr000.jpg", ["a"])
    assert opened(shot.data_uri).size == (round(SIDE * 2 / 3), SIDE)
    assert opened(album.shot("te000.jpg", []).data_uri).size == (SIDE, round(SIDE * 3 / 4))
    assert shot.data_uri is not None
    tight = Album(Project.open(tmp_path / "B"), [scene.photos], budget=3 * len(shot.data_uri))
    shots = [tight.shot("tr000.jpg", ["a"]) for _ in range(5)]
    assert [s.data_uri is not None for s in shots] == [True] * 3 + [False] * 2
    assert shots[-1].caption == ["a", "left out: the page is full"]
    assert tight.notes == ["1 photos are left out to keep the page small"]


def test_boxes_that_a_network_was_shown_crop_too(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "P"
    init(folder, train=scene.train_csv, test=scene.sample_csv)
    path = scene.write_npz("shown.npz", *scene.noisy(7))
    register(folder, "m", frozen=True, train=path, test=path)
    manifest = folder / "stores" / "m" / "frozen" / "manifest.json"
    names = {"image": scene.train_images, "bbox": ["300 0 600 450"] * 60}
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"sources": {"backbone": "timm:x", "boxes 1": str(tmp_path / "boxes.csv")}}))
    # the file has moved since: photos are shown whole
    assert opened(Album(Project.open(folder), [scene.photos]).shot("tr001.jpg", []).data_uri).size[0] == SIDE
    pl.DataFrame(names).write_csv(tmp_path / "boxes.csv")
    assert opened(Album(Project.open(folder), [scene.photos]).shot("tr001.jpg", []).data_uri).size[1] == SIDE


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_confusions_worked_by_hand() -> None:
    own = np.array([0, 0, 1, 2, 2, 3])
    first = np.array([1, 1, 0, 0, -2, -1])
    probability = np.array([0.6, 0.9, 0.7, 0.8, 0.99, 0.99])
    absent = np.array([False, True, False, True, True, True])
    found = confusions(own, first, probability, np.array([0.1, 0.1, 0.1, 0.4, 0.2, 0.1]), absent)
    assert [one.pair for one in found] == [(0, 2), (0, 1)]
    assert [one.photos for one in found] == [1, 3]
    assert [one.weight for one in found] == pytest.approx([0.4, 0.3])
    assert [one.absent for one in found] == [1, 1]
    # the surest whose right individual was there: 0.7, not 0.9
    assert [one.worst for one in found] == [3, 2]
    assert confusions(own, own, probability, np.ones(6), absent) == []


def test_a_photo_that_sits_twice_is_one_mistake() -> None:
    row, wrong = np.array([4, 5, 4, 6]), np.array([True, True, True, False])
    assert confident_mistakes(row, wrong, np.array([0.5, 0.4, 0.8, 1.0]), 3) == [2, 1]
    assert confident_mistakes(row, wrong, np.array([0.5, 0.4, 0.8, 1.0]), 1) == [2]
    assert confident_mistakes(row, np.zeros(4, dtype=bool), np.ones(4), 3) == []
