"""`train --local`: the same network with a head for local features beside, and what its features may be used for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_world import World

from backbones.local_features import build_local
from backbones.manifest import Seen
from cv.errors import FinblendError
from ensemble import Project
from ensemble.cli import main
from ensemble.networks.embed import check_features_seen


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Fold 0 as `m` with --local, as `plain` without."""
    torch.set_num_threads(1)
    world = World(tmp_path_factory.mktemp("world"))
    assert main(world.line("--folds", 0, "--local")) == 0
    assert main(world.line("--folds", 0, "--views", "hflip", model="plain")) == 0
    return world


def test_the_network_is_that_of_a_training_without(world: World) -> None:
    """To the last bit: local features follow the network and do not lead it."""
    local, plain = (world.tensors("fold-0", model) for model in ("m", "plain"))
    assert all(torch.equal(local[name], plain[name]) for name in plain)
    curves = [(world.run("fold-0", model) / "curve.csv").read_text().splitlines() for model in ("m", "plain")]
    assert [curve[0] for curve in curves] == ["epoch,loss,local,seconds", "epoch,loss,seconds"]
    rows = [[row.split(",")[:2] for row in curve[1:]] for curve in curves]
    assert rows[0] == rows[1]


def test_its_features_are_found_on_photos(world: World) -> None:
    extractor = build_local(f"delg:{world.run('fold-0')}", 30)
    features = extractor.extract(np.asarray(Image.open(world.photos / "tr00.jpg").convert("RGB")))
    assert 0 < len(features) <= 30
    assert features.width == 40


def test_a_run_goes_on_only_with_the_same_heads(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = (world.run("fold-0") / "heads.safetensors").read_bytes()
    for model, flags, told in (
        ("m", [], "True, not None"),
        ("plain", ["--local", "--views", "hflip"], "None, not True"),
    ):
        capsys.readouterr()
        assert main(world.line("--folds", 0, *flags, model=model)) == 1
        assert f"a run with another local is there ({told}); use --replace" in capsys.readouterr().err
    assert main(world.line("--folds", 0, "--local")) == 0
    assert "was finished and registered before" in capsys.readouterr().out
    assert (world.run("fold-0") / "heads.safetensors").read_bytes() == before


def test_features_have_seen_what_their_network_has(world: World, tmp_path: Path) -> None:
    project, name = Project.open(world.project), f"delg:{world.run('fold-0')}"
    extractor = build_local(name, 10)
    for seen, said in ((None, "26 labels that a frozen network"), (Seen("fold", 1), "13 labels that a fold-1 network")):
        with pytest.raises(FinblendError, match=f"was trained as fold-0 and has seen {said} has not") as refusal:
            check_features_seen(project, extractor, seen)
        assert str(refusal.value).startswith(f"--features {name}: ")
    assert check_features_seen(project, extractor, Seen("fold", 0)) == []
    assert check_features_seen(project, build_local("sift", 10)) == []
    # frozen elsewhere: with a warning, as for weights
    other = World(tmp_path / "other", permuted=True)
    table = (other.folder / "train.csv").read_text().replace("tr", "x").replace("xain", "train")
    (other.folder / "train.csv").write_text(table)
    files = ["--train", f"{other.folder}/train.csv", "--test", f"{other.folder}/sample.csv"]
    assert main(["init", str(tmp_path / "Q"), *files, "--folds", "3"]) == 0
    (line,) = check_features_seen(Project.open(tmp_path / "Q"), extractor)
    assert "was trained on another catalogue; make sure that it shares no photo with this one" in line


def test_networks_without_a_map_are_refused_before_anything_is_begun(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(world.line("--folds", 0, "--local", "--backbone", "timm:test_vit", "--size", 160, model="v")) == 1
    assert "local features need a network of timm with a map" in capsys.readouterr().err
    assert not world.run("fold-0", "v").exists()
