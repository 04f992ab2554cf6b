"""Seconds, anonymous memory, and what machine this is."""

from __future__ import annotations

import contextlib
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding  # type: ignore[import-untyped]

# what a processor multiplies fastest in
_PRODUCTS = {"amx-bf16": "AMX", "avx512bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the result."""
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def best_of(rounds: int, works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Least seconds of each, the works taken in turns so that a busy minute hits all of them."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            least[name] = min(least[name], timed(work)[0])
    return least


@contextlib.contextmanager
def anonymous_memory() -> Iterator[dict[str, float]]:
    """Highest anonymous memory of this process in GiB (mapped files do not count), sampled every 50 ms."""
    highest = {"gib": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    highest["gib"] = max(highest["gib"], int(line.split()[1]) / 2**20)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def machine() -> str:
    """Processor, its fastest products, threads, Python."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    features = binding.get_host_cpu_features()
    fast = next((told for flag, told in _PRODUCTS.items() if features.get(flag)), "no AVX2")
    return f"{model} with {fast}, {numba.get_num_threads()} threads, Python {platform.python_version()}"
