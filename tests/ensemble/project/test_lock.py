"""A lock file: one holder at a time, let go of by whoever ends, and never held by a fork."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cv.errors import FinblendError
from ensemble.project.lock import locked


def hold(path: Path, held: Event, let_go: Event) -> None:
    """Hold a lock in a process, beside a forked worker that outlives it."""
    with locked(path, "m"):
        worker = multiprocessing.get_context("fork").Process(target=let_go.wait, args=(60,))
        worker.start()
        held.set()
        let_go.wait(60)


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.lock"
    with locked(path, "P: m frozen"), pytest.raises(FinblendError) as refusal, locked(path, "P: m frozen"):
        pass
    line = str(refusal.value)
    assert line.startswith(f"P: m frozen: is being made by process {os.getpid()} on {socket.gethostname()} since 2")
    assert line.endswith(" UTC; wait until it is done, or end it")
    assert not path.exists()


def test_it_is_free_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "m.lock", "m"):
        _ = 1 / 0
    with locked(tmp_path / "m.lock", "m"):
        assert (tmp_path / "m.lock").is_file()


def test_a_process_that_is_killed_lets_go_at_once_though_its_worker_lives(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, let_go = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=hold, args=(tmp_path / "m.lock", held, let_go))
    holder.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(FinblendError, match=f"is being made by process {holder.pid} on"),
            locked(tmp_path / "m.lock", "m"),
        ):
            pass
        holder.kill()
        holder.join()
        with locked(tmp_path / "m.lock", "m"):
            pass
    finally:
        let_go.set()
        holder.join()


def test_a_fork_that_leaves_the_block_does_not_let_go_for_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "m.lock"
    lock = locked(path, "m")
    lock.__enter__()
    child = os.fork()
    if child == 0:
        lock.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(FinblendError, match="is being made by"), locked(path, "m"):
        pass
    lock.__exit__(None, None, None)
    assert not path.exists()
