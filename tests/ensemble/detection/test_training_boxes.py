"""Which photos a detector learns from, and which are held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxed import patch_photo, patches
from hypothesis import given
from hypothesis import strategies as st

from backbones.detection.photos import BoxedPhoto
from cv.errors import FinblendError
from ensemble.detection.training_boxes import TrainingBoxes, held_out, read_tables, training_boxes


def photo(name: str, *kinds: int) -> BoxedPhoto:
    return BoxedPhoto(name, name, (9, 9), np.ones((len(kinds), 4)), np.array(kinds, dtype=np.int64))


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sets(st.integers(0, 2))), min_size=3, max_size=40),
    st.sampled_from([0.1, 0.3, 0.6]),
    st.integers(0, 5),
)
def test_groups_stay_together_and_every_class_is_on_both_sides(
    drawn: list[tuple[int, set[int]]], share: float, seed: int
) -> None:
    photos = [photo(f"{n}", *sorted(kinds)) for n, (_, kinds) in enumerate(drawn)]
    groups = [f"encounter {group}" for group, _ in drawn]
    kinds = sorted({kind for _, of_photo in drawn for kind in of_photo})
    names = [f"class{kind}" for kind in range(3)]
    renumbered = [photo(p.name, *[kinds.index(kind) for kind in p.classes]) for p in photos]
    for kind in kinds:
        if len({group for group, of_photo in drawn if kind in of_photo}) < 2:
            with pytest.raises(FinblendError, match="all its boxes are of one encounter"):
                held_out(renumbered, [names[kind] for kind in kinds], groups, share, seed)
            return
    try:
        held = held_out(renumbered, [names[kind] for kind in kinds], groups, share, seed)
    except FinblendError:
        # two classes of which each stands where the other one does
        assert len(kinds) > 1
        return
    order = np.random.default_rng(seed).permutation(len(photos))
    mixed = held_out([renumbered[n] for n in order], [names[k] for k in kinds], [groups[n] for n in order], share, seed)
    assert held == mixed
    sides = {group: {p.name in held for p, its in zip(photos, groups, strict=True) if its == group} for group in groups}
    assert all(len(side) == 1 for side in sides.values())
    for kind in kinds:
        assert {p.name in held for p in photos if kind in p.classes} == {True, False}


def parted(folder: Path, **more: Any) -> TrainingBoxes:
    tables = read_tables([str(folder / "boxes.csv")], "auto", [])
    settings: dict[str, Any] = {"encounters": None, "hold_out": 0.2, "seed": 0, "workers": 0}
    return training_boxes(tables, [folder / "photos"], **{**settings, **more})


def test_encounters_are_kept_apart_and_empty_photos_are_there(tmp_path: Path) -> None:
    folder = patches(tmp_path, 16, 4)
    data = parted(folder, encounters=f"{folder / 'boxes.csv'}:encounter")
    assert data.classes == ["animal"]
    assert sum(len(p.boxes) == 0 for p in (*data.train, *data.held_out)) == 4
    met = [{int(p.name[1:3]) // 2 for p in side} for side in (data.train, data.held_out)]
    assert not met[0] & met[1]
    assert len(data.held_out) == 4
    with pytest.raises(FinblendError, match="has no column 'sighting'"):
        parted(folder, encounters=f"{folder / 'boxes.csv'}:sighting")


def test_tables_of_two_classes_and_a_class_on_one_photo(tmp_path: Path) -> None:
    folder = patches(tmp_path, 12)
    (folder / "body.csv").write_text("image,bbox\np00.jpg,[[0 0 96 72]]\np01.jpg,[[0 0 90 70]]\n")
    specs = [f"{folder / 'boxes.csv'}", f"{folder / 'body.csv'}"]
    data = training_boxes(
        read_tables(specs, "auto", ["fin", "body"]),
        [folder / "photos"],
        encounters=None,
        hold_out=0.2,
        seed=0,
        workers=0,
    )
    both = next(p for p in (*data.train, *data.held_out) if p.name == "p00.jpg")
    assert data.classes == ["body", "fin"]
    assert sorted(both.classes) == [0, 1]
    assert both.boxes[both.classes.tolist().index(0)].tolist() == [0, 0, 96, 72]
    (folder / "body.csv").write_text("image,bbox\np00.jpg,[[0 0 96 72]]\n")
    with pytest.raises(FinblendError, match=r"class body: all its boxes are of one photo \(p00\.jpg\); it needs two"):
        training_boxes(
            read_tables(specs, "auto", ["fin", "body"]), [folder / "photos"],
            encounters=None, hold_out=0.2, seed=0, workers=0,
        )  # fmt: skip


def test_boxes_a_little_beyond_the_photo_are_cut_and_turned_photos_are_upright(tmp_path: Path) -> None:
    folder = patches(tmp_path, 12)
    lines = (folder / "boxes.csv").read_text().splitlines()
    (folder / "boxes.csv").write_text("\n".join([lines[0], "p00.jpg,[[-2 10 98 71.5]],e0", *lines[2:]]))
    photos = parted(folder)
    first = next(p for p in (*photos.train, *photos.held_out) if p.name == "p00.jpg")
    assert first.boxes.tolist() == [[0, 10, 96, 71.5]]
    from PIL import Image

    with Image.open(folder / "photos" / "p01.jpg") as image:
        exif = image.getexif()
        exif[274] = 6
        image.save(folder / "photos" / "p01.jpg", exif=exif)
    (folder / "boxes.csv").write_text("\n".join([lines[0], "p01.jpg,[[0 60 70 96]],e0", *lines[3:]]))
    turned = parted(folder)
    second = next(p for p in (*turned.train, *turned.held_out) if p.name == "p01.jpg")
    assert (second.size, second.boxes.tolist()) == ((96, 72), [[0, 60, 70, 96]])
    patch_photo(folder / "photos" / "p02.jpg", (40, 30), None)
    with pytest.raises(FinblendError, match=r"row \d+: bbox .*is no box on p02\.jpg, a photo of 40 x 30 pixels"):
        parted(folder)
