"""Two `embed` of one store at once: the second says who holds the place; a killed one is gone on with at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from embedded import TINY, Photos

FINBLEND = str(Path(sys.executable).with_name("finblend"))
OPTIONS = ["--frozen", "--batch-size", "4", "--workers", "1", "--precision", "float32"]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    # batches are gone on with by a process of as many threads only
    torch.set_num_threads(1)
    return Photos(tmp_path, count=300)


@pytest.fixture
def running(photos: Photos) -> Iterator[subprocess.Popen[bytes]]:
    """An `embed` in a process of its own, stopped as soon as it has kept its first batches."""
    command = [FINBLEND, "embed", str(photos.project), "tiny", *TINY, "--images", str(photos.images), *OPTIONS]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for _ in range(6000):
        if list((photos.project / "cache" / "embed").glob("*/*/batch-*.npz")) or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, "it was to be met on its way"
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_the_second_is_told_who_holds_the_place_and_the_killed_one_goes_on(
    photos: Photos, running: subprocess.Popen[bytes]
) -> None:
    line = photos.embed("tiny", *OPTIONS, code=1).stderr
    assert f"{photos.project}: tiny frozen: is being made by process {running.pid} on {socket.gethostname()}" in line
    assert "; wait until it is done, or end it" in line
    # the network alone: its worker lives on for a moment, and holds nothing
    running.kill()
    running.wait()
    result = json.loads(photos.embed("tiny", *OPTIONS, "--json").stdout)
    assert 0 < result["computed"] < 306
    assert len(photos.store("tiny").images("train")) == 300
    assert not (photos.project / "cache" / "embed" / "tiny-frozen.lock").exists()
