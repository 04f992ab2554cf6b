"""`finblend detect` from boxes to boxes by the real command line, killed and resumed, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from boxed import patch_photo, patches

from backbones.photos import read_boxes, read_every_box
from cv.errors import FinblendError
from ensemble.cli import main
from ensemble.detection.apply import detect_apply
from ensemble.detection.train import detect_train, recipe_of

PATCHES, EMPTY, EPOCHS = 20, 4, 3


class Killed(Exception):
    """The moment at which a run ends."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, boxes, and a detector that was trained on them without a break."""
    torch.set_num_threads(1)
    folder = patches(tmp_path_factory.mktemp("world"), PATCHES, EMPTY)
    assert main(line(folder, "detector")) == 0
    return folder


def line(folder: Path, detector: str, *more: object) -> list[str]:
    """A command line that trains a tiny network; a flag that comes again wins."""
    flags = f"--network test_efficientnet --weights random --size 64 --epochs {EPOCHS} --workers 0 --device cpu"
    flags += f" --batch-size 4 --lr-body 5e-3 --lr-head 5e-3 --encounters {folder / 'boxes.csv'}:encounter"
    start = ["detect", "train", f"{folder / 'boxes.csv'}", "--images", f"{folder / 'photos'}"]
    return [*start, "-o", f"{folder / detector}", *flags.split(), *map(str, more)]


def train(folder: Path, detector: str, **more: Any) -> Any:
    """The same by its function."""
    settings: dict[str, Any] = {
        **{"images": [folder / "photos"], "network": "test_efficientnet", "weights": "random", "size": (64, 64)},
        **{"encounters": f"{folder / 'boxes.csv'}:encounter", "workers": 0, "device": "cpu"},
        "recipe": recipe_of(epochs=EPOCHS, batch_size=4, lr_body=5e-3, lr_head=5e-3),
    }
    return detect_train(folder / "boxes.csv", folder / detector, **{**settings, **more})


def stop_at(step: int, what: str) -> Callable[[str, int, int], None]:
    done = [0]

    def progress(name: str, now: int, _total: int) -> None:
        done[0] += now if name == what else 0
        if done[0] >= step:
            raise Killed

    return progress


def test_from_boxes_to_a_detector_to_boxes(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in (world / "detector").iterdir()) == [
        "curve.csv", "detector.json", "network.safetensors", "run.json",
    ]  # fmt: skip
    assert main(line(world, "detector", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finished_before"]
    assert (told["classes"], told["without_animal"]) == ({"animal": PATCHES}, EMPTY)
    assert told["photos"] + told["held_out"] == PATCHES + EMPTY
    assert [row["epoch"] for row in told["curve"]] == [1, 2, 3]
    best = max(told["curve"], key=lambda row: (row["mean_iou"], row["map50"]))
    assert (told["epoch"], told["measured"]["mean_iou"]) == (best["epoch"], pytest.approx(best["mean_iou"], abs=1e-5))
    (world / "photos" / "z.jpg").write_bytes(b"no photo")
    out = tmp_path / "boxes.csv"
    apply = ["detect", "apply", f"{world / 'detector'}", "--images", f"{world / 'photos'}", "-o", f"{out}"]
    assert main([*apply, "--workers", "0"]) == 0
    caught = capsys.readouterr()
    assert "z.jpg: unreadable" in caught.err
    assert f"{out}: {PATCHES + EMPTY + 1} photos; boxes of a score from 0.3 on: animal" in caught.out
    rows = list(csv.DictReader(out.open()))
    assert [row["image"] for row in rows] == [*(f"p{n:02d}.jpg" for n in range(PATCHES + EMPTY)), "z.jpg"]
    boxed = [row["image"] for row in rows if row["bbox"]]
    assert boxed
    assert all(float(row["score"]) >= 0.3 and row["class"] == "animal" for row in rows if row["bbox"])
    # what --boxes reads, and what detect train reads
    frame = pl.DataFrame({"image": [row["image"] for row in rows]})
    assert list(read_boxes(str(out), frame)) == boxed
    assert len(read_every_box(str(out)).boxes) == len(boxed)
    # a score that nothing has: every photo is counted and named
    assert main([*apply, "--workers", "0", "--min-score", "0.999"]) == 0
    assert f"{PATCHES + EMPTY} photos have no box: p00.jpg, p01.jpg" in capsys.readouterr().out
    assert not out.with_name("boxes.csv.parts").exists()
    # all boxes of a photo in one row
    assert main([*apply, "--workers", "0", "--all", "--min-score", "0.02", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boxes"]["animal"] == len(read_every_box(str(out)).boxes) > len(boxed)
    assert len(pl.read_csv(out)) == len(rows)
    (world / "photos" / "z.jpg").unlink()


@pytest.mark.parametrize("step", [1, 8])
def test_killed_and_resumed_it_ends_as_if_nothing_had_been(world: Path, step: int) -> None:
    name = f"killed{step}"
    with pytest.raises(Killed):
        train(world, name, progress=stop_at(step, "training"))
    assert not (world / name / "network.safetensors").exists()
    assert (world / name / "checkpoints" / "last.ckpt").exists() == (step > 6)
    resumed = train(world, name)
    assert not resumed.finished_before
    for file in ("network.safetensors", "detector.json"):
        assert (world / name / file).read_bytes() == (world / "detector" / file).read_bytes()
    assert not (world / name / "checkpoints").exists()
    shutil.rmtree(world / name)


def test_a_killed_look_goes_on(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemble.detection.apply.BATCH", 4)
    monkeypatch.setattr("ensemble.detection.apply.TOGETHER", 2)
    photos = [world / "photos"]
    detect_apply(world / "detector", tmp_path / "a.csv", images=photos, workers=0)
    with pytest.raises(Killed):
        detect_apply(world / "detector", tmp_path / "b.csv", images=photos, workers=0, progress=stop_at(10, "photos"))
    assert not (tmp_path / "b.csv").exists()
    gone_on = detect_apply(world / "detector", tmp_path / "b.csv", images=photos, workers=0)
    assert gone_on.computed == PATCHES + EMPTY - 8
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_boxes_that_people_drew_are_not_written_over(world: Path) -> None:
    drawn = (world / "boxes.csv").read_bytes()
    with pytest.raises(FinblendError, match=r"boxes\.csv: is there already and no table of detect apply; choose"):
        detect_apply(world / "detector", world / "boxes.csv", images=[world / "photos"], workers=0)
    assert (world / "boxes.csv").read_bytes() == drawn


def test_another_run_is_refused_and_replaced(world: Path) -> None:
    with pytest.raises(FinblendError, match=r"detector: a run with another hold_out is there \(0\.15, not 0\.3\); use"):
        train(world, "detector", hold_out=0.3)
    shutil.copytree(world / "detector", world / "other")
    replaced = train(world, "other", hold_out=0.3, recipe=recipe_of(epochs=1, batch_size=4), replace=True)
    assert len(replaced.curve) == 1
    shutil.rmtree(world / "other")
    for place, rule in (("photos", "is there and holds no detector"), ("boxes.csv", "is a file")):
        with pytest.raises(FinblendError, match=rule):
            train(world, place, replace=True)
    assert len(list((world / "photos").iterdir())) == PATCHES + EMPTY


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ({}, {"min_score": 1.5}, r"0\.02 <= --min-score <= 1 must hold, but got 1\.5"),
        ({}, {"size": (60, 64)}, "--size 60x64: must be a multiple of 32"),
        ({}, {"network": "test_vit"}, "--network test_vit: its last stages have strides|does not show its stages"),
        ({}, {"weights": "installed"}, "no package holds weights of test_efficientnet"),
        ({}, {"hold_out": 0}, "0.02 <= --hold-out <= 0.9 must hold"),
        ({}, {"classes": ["a", "b"]}, "--class: give one for all BOXES, or one each; got 2 for 1"),
        ({3: "[[0 0 300 50]]"}, {}, r"boxes\.csv: row 4: bbox '.*': is no box on p03\.jpg, a photo of 96 x 72 pixels"),
        (dict.fromkeys(range(15), "[[40 40 300 50]]"), {}, "and so are 15 of 20 boxes; say .* --box-form"),
        (dict.fromkeys(range(PATCHES), ""), {}, r"boxes\.csv: holds no box at all \(24 photos\)"),
        (dict.fromkeys(range(12), ""), {}, "there are 8 photos with a box; a detector needs 10"),
    ],
)
def test_what_is_refused_in_one_line(
    world: Path, tmp_path: Path, rows: dict[int, str], more: dict[str, Any], message: str
) -> None:
    table = pl.read_csv(world / "boxes.csv")
    cells = [rows.get(row, cell) for row, cell in enumerate(table["bbox"])]
    table.with_columns(bbox=pl.Series(cells, dtype=pl.String)).write_csv(tmp_path / "boxes.csv")
    (tmp_path / "photos").symlink_to(world / "photos")
    with pytest.raises(FinblendError, match=message) as caught:
        train(tmp_path, "d", **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_photos_that_are_missing_are_told_and_strict_refuses(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "photos", tmp_path / "photos")
    shutil.copy(world / "boxes.csv", tmp_path)
    (tmp_path / "photos" / "p01.jpg").unlink()
    (tmp_path / "photos" / "p02.jpg").write_bytes(b"no photo")
    assert main(line(tmp_path, "d", "--strict")) == 1
    assert "--strict: p01.jpg: missing, p02.jpg: unreadable" in capsys.readouterr().err
    assert main(line(tmp_path, "d", "--epochs", 1)) == 0
    assert "2 photos are not used" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "photos")
    (tmp_path / "photos").mkdir()
    assert main(line(tmp_path, "e")) == 1
    assert "none of the 24 photos is there (such as p00.jpg)" in capsys.readouterr().err


def test_what_apply_refuses(world: Path, tmp_path: Path) -> None:
    photos = [world / "photos"]
    with pytest.raises(FinblendError, match=r"is no finished detector \(it needs detector\.json and network"):
        detect_apply(world / "photos", tmp_path / "b.csv", images=photos)
    with pytest.raises(FinblendError, match="--class fin: the detector knows animal"):
        detect_apply(world / "detector", tmp_path / "b.csv", images=photos, classes=["fin"])
    with pytest.raises(FinblendError, match="holds no photo"):
        detect_apply(world / "detector", tmp_path / "b.csv", images=[tmp_path])
    with pytest.raises(FinblendError, match="--min-score <= 1 must hold, but got 0"):
        detect_apply(world / "detector", tmp_path / "b.csv", images=photos, min_score=0)
    shutil.copytree(world / "detector", tmp_path / "d")
    (tmp_path / "d" / "network.safetensors").write_bytes(b"something else")
    with pytest.raises(FinblendError, match=r"is not the network that detector\.json tells of"):
        detect_apply(tmp_path / "d", tmp_path / "b.csv", images=photos)
    facts = json.loads((tmp_path / "d" / "detector.json").read_text())
    for change, rule in (({"format": 2}, "format 2 is not known"), ({"size": 3}, "and nothing else"),
                         ({"classes": "fin"}, "classes must be list")):  # fmt: skip
        (tmp_path / "d" / "detector.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(FinblendError, match=rule):
            detect_apply(tmp_path / "d", tmp_path / "b.csv", images=photos)


def test_photos_of_one_file_name_go_by_their_folders(world: Path, tmp_path: Path) -> None:
    for place in ("east/a.jpg", "west/a.jpg", "b.png"):
        (tmp_path / "photos" / place).parent.mkdir(parents=True, exist_ok=True)
        patch_photo(tmp_path / "photos" / place, (96, 72), (10, 10, 50, 50))
    detect_apply(world / "detector", tmp_path / "b.csv", images=[tmp_path / "photos"], workers=0)
    assert pl.read_csv(tmp_path / "b.csv")["image"].to_list() == ["b.png", "east/a.jpg", "west/a.jpg"]


def test_photos_in_an_archive_have_the_same_boxes(world: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "photos"), "zip", world / "photos")
    for name, place in (("a.csv", world / "photos"), ("b.csv", tmp_path / "photos.zip")):
        detect_apply(world / "detector", tmp_path / name, images=[place], workers=0)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    trained = train(world, "zipped", images=[tmp_path / "photos.zip"])
    assert trained.measured == train(world, "detector").measured
    shutil.rmtree(world / "zipped")


@pytest.mark.parametrize("command", ["train", "apply"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", command, "--help"]) == 0
    assert f"Example: finblend detect {command}" in " ".join(capsys.readouterr().out.split())
