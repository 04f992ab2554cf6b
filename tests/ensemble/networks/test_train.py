"""`finblend train`: what it leaves, what it refuses, and that a fold's network never sees that fold's labels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from training_world import World

from backbones.manifest import Seen
from backbones.weights import read_state
from cv.pseudo_labels import PseudoLabels, write_pseudo_labels
from ensemble import Project
from ensemble.cli import main
from ensemble.registry.stores import held_place

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Trained in every fold as `m`."""
    world = World(tmp_path_factory.mktemp("world"))
    assert main(world.line("--watch", 2)) == 0
    return world


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command is refused with."""
    capsys.readouterr()
    assert main(line) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("finblend: ")
    assert told.err.count("\n") == 1
    return told.err.removeprefix("finblend: ").strip()


def test_every_fold_is_registered_with_what_its_heads_say(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    stores = Project.open(world.project).stores()["m"]
    assert list(stores) == ["fold-0", "fold-1", "fold-2"]
    for fold, (seen, store) in enumerate(stores.items()):
        classes = json.loads((store.folder / "classes.json").read_text())
        others = pl.read_csv(world.folder / "train.csv").filter(pl.col("fold") != fold)
        assert classes == sorted(others["individual_id"].unique())
        assert list(store.manifest.views) == ["orig"]
        assert sorted(store.manifest.predictions) == ["pred_idx", "pred_logit", "pred_species"]
        assert list(store.manifest.unreadable) == ["tr05.jpg"]
        for split, rows in (("train", 41), ("test", 8)):
            told = {name: np.asarray(store.prediction(split, name)) for name in store.manifest.predictions}
            assert told["pred_idx"].shape == told["pred_logit"].shape == (rows, len(classes))
            np.testing.assert_array_equal(np.sort(told["pred_idx"], axis=1)[0], np.arange(len(classes)))
            assert np.isfinite(told["pred_logit"]).all()
            np.testing.assert_allclose(told["pred_species"].sum(axis=1), 1, atol=1e-5)
        names = {path.name for path in world.run(seen).iterdir()}
        assert names == {"run.json", "curve.csv", "network.safetensors", "heads.safetensors"}
        curve = pl.read_csv(world.run(seen) / "curve.csv")
        assert curve["epoch"].to_list() == [0, 1, 2]
        assert curve["map5_known"].null_count() == 1
    assert main(["models", str(world.project), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["models"][0]
    assert (row["model"], row["stores"]) == ("m", ["fold-0", "fold-1", "fold-2"])
    assert 0 < row["map5"] <= 1


def test_what_is_finished_and_registered_is_not_done_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def stamps() -> dict[Path, int]:
        kept = [*world.project.rglob("*.safetensors"), *world.project.rglob("*.arrow"), *world.project.rglob("*.json")]
        return {path: path.stat().st_mtime_ns for path in kept}

    before = stamps()
    assert main(world.line("--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(run["seen"], run["registered"]) for run in report["runs"]] == [(f"fold-{k}", "before") for k in range(3)]
    assert [(run["photos"], run["classes"]) for run in report["runs"]] == [(26, 10), (28, 11), (28, 11)]
    assert stamps() == before
    assert main(world.line("--folds", "1")) == 0
    assert "m fold-1: was finished and registered before" in capsys.readouterr().out


def test_a_place_that_is_held_is_refused_but_not_to_later_processes_of_a_clusters_run(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_place(Project.open(world.project), "m", Seen("fold", 0)):
        assert f"m fold-0: is being made by process {os.getpid()} on" in refused(world.line("--folds", 0), capsys)
        monkeypatch.setenv("SLURM_PROCID", "1")
        assert main(world.line("--folds", 0)) == 0


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        (["--epochs", 3], "epochs is there (2, not 3)"),
        (["--margin", 0.2], "head.margin is there (0.3, not 0.2)"),
        (["--margin-by-count", "0.2,0.3,0.05"], "head.margin_by_count is there (None, not [0.2, 0.3, 0.05])"),
        (["--hue", 0], "augment.hue is there (0.2, not 0.0)"),
        (["--size", 48], "size is there ([32, 32], not [48, 48])"),
        (["--backbone", "timm:test_resnet"], "backbone is there (timm:test_efficientnet, not timm:test_resnet)"),
        (["--normalise", "half"], "normalise is there (None, not half)"),
        (["--weights", "hub"], "weights is there (random, not hub)"),
    ],
)
def test_other_settings_are_refused_by_name(
    flags: list[object], setting: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(world.line(*flags), capsys)
    assert told == f"{world.run('fold-0')}: a run with another {setting}; use --replace"


def test_a_folds_own_labels_are_never_seen(world: World, tmp_path: Path) -> None:
    """Two catalogues that differ only in who is on fold 0's photos give the same network for fold 0, and no other."""
    other = World(tmp_path / "other", permuted=True)
    mine, theirs = (pl.read_csv(each.folder / "train.csv") for each in (world, other))
    differ = mine["individual_id"] != theirs["individual_id"]
    assert differ.sum() > 10
    assert mine.filter(differ)["fold"].unique().to_list() == [0]
    assert main(other.line("--folds", "0,1", "--watch", 1)) == 0
    assert same(other.tensors("fold-0"), world.tensors("fold-0"))
    assert not same(other.tensors("fold-1"), world.tensors("fold-1"))
    # nor does the network's own word know of them
    mine_told, theirs_told = (read_state(each.run("fold-0"))[1] for each in (world, other))
    assert mine_told is not None
    assert theirs_told is not None
    assert mine_told.labels == theirs_told.labels


def test_a_trained_network_cannot_be_passed_off_as_another(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = world.run("fold-0")
    line = ["embed", str(world.project), "e", "--backbone", "timm:test_efficientnet", "--images", str(world.photos)]
    for weights in (run, run / "network.safetensors"):
        for flags, said in ((["--frozen"], "26 labels that a frozen"), (["--fold", "1"], "13 labels that a fold-1")):
            told = refused([*line, "--weights", str(weights), *flags], capsys)
            assert told.startswith(f"--weights {weights}: was trained as fold-0 and has seen {said} network has not")
    assert "already registered" in refused([*line[:2], "m", *line[3:], "--weights", str(run), "--fold", "0"], capsys)
    start = ["--weights", run, "--folds"]
    told = refused(world.line(*start, "1", model="n"), capsys)
    assert "has seen 13 labels that a fold-1 network has not" in told
    # of several folds none is begun
    assert refused(world.line(*start, "0,1", model="n"), capsys) == told
    assert not world.run("fold-0", "n").exists()


def test_a_grown_catalogue_is_no_way_round(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Next season the catalogue has other photos, too, and other folds; what was seen is seen."""
    table = pl.read_csv(world.folder / "train.csv")
    table.filter(pl.col("image") != "tr40.jpg").drop("fold").write_csv(tmp_path / "train.csv")
    project, run = tmp_path / "P", world.run("fold-0")
    files = ["--train", str(tmp_path / "train.csv"), "--test", str(world.folder / "sample.csv")]
    assert main(["init", str(project), *files, "--folds", "3"]) == 0
    line = ["embed", str(project), "e", "--backbone", "timm:test_efficientnet", "--images", str(world.photos)]
    for flags in (["--frozen"], ["--fold", "0"], ["--fold", "1"], ["--fold", "2"]):
        assert "was trained as fold-0 and has seen" in refused([*line, "--weights", str(run), *flags], capsys)
    # a network that starts from it inherits what it has seen
    start = ["--weights", str(run), "--images", str(world.photos), "--backbone", "timm:test_efficientnet"]
    assert main(["train", str(project), "n", *start, "--folds", "full", "--epochs", "1", "--workers", "0"]) == 0
    seen = [read_state(each)[1] for each in (run, project / "runs" / "n" / "full")]
    assert seen[0] is not None
    assert seen[1] is not None
    assert set(seen[0].labels.split()) < set(seen[1].labels.split())


def pseudo_file(world: World, name: str, seen: str | None) -> Path:
    frame = pl.DataFrame(
        {"image": world.test[:4], "individual_id": [f"id{i:02d}" for i in range(4)], "conf": [0.9] * 4}
    )
    path = world.folder / name
    if seen is None:
        frame.write_csv(path)
    else:
        write_pseudo_labels(path, PseudoLabels(frame, seen, Project.open(world.project).photos_hash))
    return path


def test_pseudo_labels_join_the_training_they_are_for_and_no_other(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for seen in ("fold-0", "fold-1", "full"):
        pseudo_file(world, f"p-{seen}.csv", seen)
    elsewhere = pseudo_file(world, "elsewhere.csv", None)
    pattern = world.folder / "p-{fold}.csv"
    capsys.readouterr()
    assert main(world.line("--epochs", 1, "--folds", "0,1", "--pseudo", pattern, "--json", model="p")) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["photos"], run["pseudo"], run["registered"]) for run in runs] == [
        (30, 4, "now"),
        (32, 4, "now"),
    ]
    other = world.folder / "p-fold-1.csv"
    assert refused(world.line("--folds", "0", "--pseudo", other, model="q"), capsys) == (
        f"--pseudo {other}: its labels are for fold-1; they may have seen fold-0's labels"
    )
    told = refused(world.line("--folds", "0", "--pseudo", elsewhere, model="q"), capsys)
    assert told.startswith(f"--pseudo {elsewhere}: does not say what it has seen, so it trains --folds full only")
    assert "fold-2.csv: no such file" in refused(world.line("--pseudo", pattern, model="q"), capsys)
    assert not (world.project / "runs" / "q").exists()
    line = world.line("--epochs", 1, "--folds", "full", "--pseudo", elsewhere, "--pseudo-min", 0.5, "--json", model="f")
    assert main(line) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["seen"], run["photos"], run["pseudo"], run["classes"]) == ("full", 45, 4, 11)
    # without them it is another run
    told = refused(world.line("--epochs", 1, "--folds", "0", model="p"), capsys)
    assert "a run with another photos is there" in told


BAD: list[tuple[list[Any], str]] = [
    (["--epochs", 0], "1 <= epochs <= 10000 must hold, but got epochs=0"),
    (["--margin", 4], "margin"),
    (["--folds", 9], "--folds must be all, full, or some of 0, 1, 2, but got '9'"),
    (["--folds", "0,"], "--folds must be all, full, or some of 0, 1, 2, but got '0,'"),
    (["--margin-by-count", "a,b"], "--margin-by-count must be three numbers A,B,C, but got 'a,b'"),
    (["--margin-by-count", "1,2"], "three numbers"),
    (["--devices", 0], "--devices >= 1 and --watch >= 0 must hold, but got 0 and 0"),
    (["--hue", 0.7], "0 <= hue <= 0.5 must hold, but got hue=0.7"),
    (["--size", 4], "8 <= size <= 4096 must hold, but got 4x4"),
    (["--backbone", "timm:test_efficientnot"], "timm has no network 'test_efficientnot'"),
    (["--weights", "nowhere.safetensors"], "nowhere.safetensors: "),
    (["--strategy", "nonsense"], "--strategy"),
    (["--views", "hflop"], "--views must be orig, hflip or both, but got 'hflop'"),
    (["--precision", "float8"], "--precision must be one of auto, float32, bfloat16, but got 'float8'"),
    (["--device", "abacus"], "--device must be one of auto, cpu, cuda, but got 'abacus'"),
    (["--resize", "stretch"], "resize 'stretch' is none of"),
    (["--normalise", "none"], "--normalise must be one of imagenet, half, but got 'none'"),
    (["--strict"], "--strict: tr05.jpg: unreadable: not a photo in any format known here, te1.jpg: missing"),
    (["--strict", "--epochs", 1], "known here, te1.jpg: unreadable"),
]


@pytest.mark.parametrize(("flags", "told"), BAD, ids=[" ".join(map(str, flags)) for flags, _ in BAD])
def test_bad_flags_are_refused_in_one_line_before_anything_is_trained(
    flags: list[Any], told: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = world.photos / "te1.jpg"
    if "--strict" in flags:
        hidden.rename(world.folder / "te1.jpg")
    if told.endswith("te1.jpg: unreadable"):
        hidden.write_text("this is no photo")
    try:
        assert told in refused(world.line(*flags, model="bad"), capsys)
    finally:
        if "--strict" in flags:
            (world.folder / "te1.jpg").replace(hidden)
    # nothing that could stand in the way of the right call
    runs = world.project / "runs" / "bad"
    assert not list(runs.rglob("*.safetensors")) + list(runs.rglob("*.ckpt"))
