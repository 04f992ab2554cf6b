"""Workers of a run that is killed at the worst moment: before they know who their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

# the worker sleeps until its run is gone; then torch's loop begins, with whoever adopted it as its parent
RUN = """
import os, sys, time
from torch.utils.data import DataLoader
from backbones.workers import end_with_run

def late(worker):
    if sys.argv[1] == "watched":
        end_with_run(worker)
    print(os.getpid(), flush=True)
    run = os.getppid()
    while os.getppid() == run:
        time.sleep(0.01)

next(iter(DataLoader([1, 2], num_workers=1, worker_init_fn=late, multiprocessing_context="fork")))
"""


def is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("watched", ["watched", "torch alone"])
def test_a_worker_does_not_outlive_a_run_killed_before_its_loop(watched: str) -> None:
    """Without the watch it stays, which is why there is one."""
    run = subprocess.Popen([sys.executable, "-c", RUN, watched], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    end = time.monotonic() + (60 if watched == "watched" else 7)
    while is_there(worker) and time.monotonic() < end:
        time.sleep(0.05)
    stayed = is_there(worker)
    if stayed:
        os.kill(worker, signal.SIGKILL)
    run.stdout.close()
    assert stayed == (watched != "watched")


def test_outside_a_worker_there_is_nothing_to_watch() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "from backbones.workers import end_with_run as f; f(0); print('still here')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "still here\n"
