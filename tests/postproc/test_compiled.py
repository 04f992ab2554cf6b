"""Compiled loops: every one is kept, the next process finds it, and a first call that compiles says so."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

from numba.core.caching import NullCache
from numba.core.registry import CPUDispatcher

import postproc
from postproc.compiled import COMPILING, KEPT, NOT_KEPT, fingerprint
from postproc.ranking.rank_kernels import rank_groups

# a parallel loop that calls another one: what numba finds hardest to keep
SMALL = """
import logging, sys
import numpy as np
logging.basicConfig(stream=sys.stdout, format="%(name)s: %(message)s")
from postproc.neighbours.exact_kernels import row_norms
for kind in (np.float32, np.float64):
    print(row_norms(np.full((1, 4), 2.0, dtype=kind), np.arange(1)))
"""


def printed(environment: dict[str, str]) -> list[str]:
    """What a process of its own prints that calls a small loop, with arguments of two types."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", SMALL], capture_output=True, text=True, check=False, env=inherited | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_first_process_says_once_that_it_compiles_and_the_next_finds_it_done(tmp_path: Path) -> None:
    answers = ["[4.]", "[4.]"]
    assert printed({"NUMBA_CACHE_DIR": str(tmp_path)}) == ["finblend: " + COMPILING + KEPT, *answers]
    assert printed({"NUMBA_CACHE_DIR": str(tmp_path)}) == answers


def test_where_no_folder_may_be_written_loops_compile_every_time_and_the_line_says_why() -> None:
    # the only place that numba is allowed is the one that nobody has named
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    for _ in range(2):
        assert printed(nowhere) == ["finblend: " + COMPILING + NOT_KEPT, "[4.]", "[4.]"]


def test_a_kept_loop_is_valid_only_for_the_sources_of_all_loops(tmp_path: Path) -> None:
    # numba asks for the loop's own module; what it calls from others is part of the result, too
    assert rank_groups._cache._cache_file._source_stamp[1] == fingerprint()
    (tmp_path / "room").mkdir()
    found = []
    for name, text in (("a_kernels.py", "1"), ("a_kernels.py", "2"), ("room/b_kernels.py", "3"), ("other.py", "4")):
        (tmp_path / name).write_text(text)
        found.append(fingerprint.__wrapped__(tmp_path))
    assert len(set(found[:3])) == 3
    assert found[2] == found[3]


def test_every_loop_is_kept() -> None:
    modules = [module.name for module in pkgutil.walk_packages(postproc.__path__, "postproc.")]
    loops = {
        f"{name}:{key}": value
        for name in modules
        for key, value in vars(importlib.import_module(name)).items()
        if isinstance(value, CPUDispatcher) and value.py_func.__module__ == name
    }
    assert len(loops) > 30
    assert [name for name, loop in loops.items() if isinstance(loop._cache, NullCache)] == []
