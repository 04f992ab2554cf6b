"""`finblend train` killed, replaced, and on two devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_world import World

from ensemble import Project
from ensemble.cli import main

FINBLEND = Path(sys.executable).with_name("finblend")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As many as in the processes that are started: sums differ in the last bit with the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def start(line: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [FINBLEND, *line], text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_killed_in_the_middle_the_next_call_ends_as_if_nothing_had_been(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = ("--epochs", 15, "--folds", 1)
    process = start(world.line(*longer, "--workers", 1))
    checkpoints, end = world.run("fold-1") / "checkpoints", time.monotonic() + 120
    while not list(checkpoints.glob("epoch=00000[1-9].ckpt")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (world.run("fold-1") / "network.safetensors").exists()
    assert list(checkpoints.glob("*.ckpt"))
    assert Project.open(world.project).stores() == {}
    capsys.readouterr()
    assert main(world.line(*longer, "--workers", 1, "--json")) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [row["epoch"] for row in run["curve"]] == list(range(1, 16))
    # in another view, as the same embeddings are not registered twice
    assert main(world.line(*longer, "--views", "hflip", model="straight")) == 0
    for name in ("network.safetensors", "heads.safetensors"):
        mine, straight = (world.run("fold-1", model) / name for model in ("m", "straight"))
        assert mine.read_bytes() == straight.read_bytes()
    assert not checkpoints.exists()


def test_replace_starts_anew_and_registers_anew(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    line = world.line("--epochs", 1, "--folds", 0, model="r")
    assert main(line) == 0
    before = world.tensors("fold-0", "r")
    capsys.readouterr()
    # the same network once more, and with it a further view
    assert main([*line, "--views", "orig,hflip", "--replace", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["registered"], list(run["views"])) == ("now", ["orig", "hflip"])
    assert all(torch.equal(before[name], tensor) for name, tensor in world.tensors("fold-0", "r").items())
    assert main([*line, "--epochs", "2", "--replace"]) == 0
    after = world.tensors("fold-0", "r")
    assert not all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_two_devices_train_one_network_a_fold(world: World) -> None:
    """The second process ends after each fold: the first alone embeds and registers."""
    process = start(world.line("--epochs", 1, "--folds", "0,1", "--devices", 2, "--strategy", "ddp", model="d"))
    try:
        told, errors = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert told.count("Next: finblend models") == 1
    assert [told.count(f"d fold-{fold}: 41 train and 8 test photos") for fold in (0, 1)] == [1, 1]
    stores = Project.open(world.project).stores()["d"]
    assert list(stores) == ["fold-0", "fold-1"]
    assert all(np.isfinite(store.embedding("test", "orig")).all() for store in stores.values())
