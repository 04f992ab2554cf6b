"""Trained before, trained again: further views, --replace that was interrupted, folders that were tampered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from training_world import World

from backbones.store import Store
from ensemble.cli import main


@pytest.fixture
def world(tmp_path: Path) -> World:
    torch.set_num_threads(1)
    return World(tmp_path)


def store(world: World, model: str = "m") -> Store:
    return Store(world.project / "stores" / model / "fold-0")


def line(world: World, *more: object, model: str = "m") -> list[str]:
    return world.line("--epochs", 1, "--folds", 0, *more, model=model)


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    return told


def test_a_view_that_comes_later_leaves_what_coming_at_once_leaves(world: World) -> None:
    assert main(line(world, "--views", "orig")) == 0
    first = store(world).prediction("test", "pred_logit").copy()
    assert main(line(world, "--views", "hflip")) == 0
    assert store(world).views == ["orig", "hflip"]
    # what the heads say is the mean over both views, however they came
    joined = store(world).prediction("test", "pred_logit").copy()
    shutil.rmtree(store(world).folder)
    assert main(line(world, "--views", "orig,hflip")) == 0
    at_once = store(world)
    np.testing.assert_allclose(joined, at_once.prediction("test", "pred_logit"), atol=1e-5)
    assert not np.allclose(first, joined, atol=1e-5)
    assert at_once.manifest.unreadable.keys() == {"tr05.jpg"}


def test_what_is_true_of_the_first_view_stays_in_the_manifest(world: World) -> None:
    assert main(line(world, "--views", "orig")) == 0
    broken = store(world).manifest
    shutil.copy(world.photos / "tr06.jpg", world.photos / "tr05.jpg")
    weights = ["--weights", str(world.run("fold-0")), "--backbone", "timm:test_efficientnet", "--fold", "0"]
    more = ["--images", str(world.photos), "--views", "hflip", "--workers", "0"]
    assert main(["embed", str(world.project), "m", *weights, *more]) == 0
    manifest = store(world).manifest
    assert manifest.unreadable == broken.unreadable
    assert str(manifest.transform).splitlines()[0] == broken.transform
    assert len(str(manifest.transform).splitlines()) == 2


def test_how_a_network_was_trained_to_see_is_how_it_is_shown_photos(world: World) -> None:
    assert main(line(world, "--views", "orig", "--normalise", "half", "--resize", "pad")) == 0
    weights = ["--weights", str(world.run("fold-0")), "--backbone", "timm:test_efficientnet", "--fold", "0"]
    more = ["--images", str(world.photos), "--views", "hflip", "--workers", "0"]
    assert main(["embed", str(world.project), "m", *weights, *more]) == 0
    first, second = (json.loads(each) for each in str(store(world).manifest.transform).splitlines())
    for name in ("mean", "std", "resize", "height", "fill"):
        assert first[name] == second[name]
    assert first["mean"] == [0.5, 0.5, 0.5]


def test_a_replacement_that_was_interrupted_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line(world)) == 0
    before = store(world).manifest.weights_sha256

    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("backbones.training.fit.fit", interrupted)
        assert main(line(world, "--seed", 1, "--replace")) == 1
    assert store(world).manifest.weights_sha256 == before, "the old store stays until the new one is there"
    assert main(line(world, "--seed", 1)) == 0
    assert store(world).manifest.weights_sha256 != before
    capsys.readouterr()
    assert main(line(world, "--seed", 1, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["registered"] == "before"


def test_a_network_is_registered_as_what_its_run_says_only(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line(world)) == 0
    run = world.run("fold-0")
    assert main(line(world, "--seed", 1, model="other")) == 0
    shutil.copy(world.run("fold-0", "other") / "network.safetensors", run / "network.safetensors")
    shutil.rmtree(store(world).folder)
    assert "is the network of another run; use --replace" in refusal(line(world), capsys)
    (run / "run.json").unlink()
    assert "is no folder of a training run (run.json is lost); use --replace" in refusal(line(world), capsys)


def test_a_catalogue_without_readable_photos_is_one_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for photo in world.photos.iterdir():
        photo.write_text("no photo")
    told = refusal(line(world, "--workers", 1), capsys)
    assert "photos drawn one after another cannot be read" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--strategy", "fsdp"], "--strategy must be auto, ddp or a kind of ddp, but got 'fsdp'"),
        (["--pseudo-min", "1.5"], "0 <= --pseudo-min <= 1 must hold, but got 1.5"),
        (["--backbone", "effnet-b0-dolg:1"], "2 <= width <= 16384 must hold after the colon, but got '1'"),
    ],
)
def test_wrong_flags(flags: list[str], told: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in refusal(line(world, *flags), capsys)
