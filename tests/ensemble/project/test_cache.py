"""The cache: entries are mapped, the oldest go, and several processes may make the same one."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.project.cache import cached


def test_the_oldest_entries_of_a_name_go_first(tmp_path: Path) -> None:
    made = list[int]()

    def ask(number: int) -> list[int]:
        def compute() -> dict[str, np.ndarray]:
            made.append(number)
            return {"numbers": np.array([number])}

        found: list[int] = cached(tmp_path, "same", [number], compute, keep=2)["numbers"].tolist()
        for age, entry in enumerate(sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)):
            os.utime(entry, (1e9 - age, 1e9 - age))
        return found

    assert [ask(n) for n in (1, 2, 1, 3, 2, 1)] == [[1], [2], [1], [3], [2], [1]]
    # 3 came third and pushed out 1, which then had to be made again
    assert made == [1, 2, 3, 1]


def test_what_another_process_has_put_there_and_may_have_mapped_stays(tmp_path: Path) -> None:
    there = list[int]()

    def number() -> dict[str, np.ndarray]:
        return {"numbers": np.arange(5)}

    def slower() -> dict[str, np.ndarray]:
        cached(tmp_path, "same", [1], number)
        there.extend(path.stat().st_ino for path in tmp_path.iterdir())
        return number()

    assert cached(tmp_path, "same", [1], slower)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert [path.stat().st_ino for path in tmp_path.iterdir()] == there


def test_two_processes_that_compute_the_same_at_once_both_get_it(tmp_path: Path) -> None:
    for trial in range(100):
        together, found = threading.Barrier(2), []

        def compute(together: threading.Barrier = together) -> dict[str, np.ndarray]:
            together.wait(timeout=10)
            return {"numbers": np.arange(5)}

        def once(trial: int = trial, found: list[Any] = found, compute: Any = compute) -> None:
            try:
                arrays = cached(tmp_path / str(trial), "same", [1], compute)
            except SystemError as error:
                # Python 3.11 parses array headers wrongly in two threads at once (gh-106905), never in two processes
                if "recursion depth mismatch" not in str(error):
                    raise
                arrays = cached(tmp_path / str(trial), "same", [1], compute)
            found.append(arrays["numbers"].tolist())

        threads = [threading.Thread(target=once) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[0, 1, 2, 3, 4]] * 2
        assert [path.name[:5] for path in (tmp_path / str(trial)).iterdir()] == ["same-"]
