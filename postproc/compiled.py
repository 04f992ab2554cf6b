"""Compiled loops: the next process finds them ready, and a line says so where a first call has to compile.

numba compiles a function when it is first called with arguments of new types, for up to half a minute. It keeps the
result in NUMBA_CACHE_DIR, beside the module, or in the user's cache folder, whichever it may write first. It looks
whether the module has changed since, but not whether another one has whose loops are part of the result: so a kept loop
is valid only for the very sources of all loops.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import event

COMPILING = "compiling loops for this processor, up to half a minute each; "
KEPT = "the next run finds them ready"
NOT_KEPT = "the next run has to do it again, for no folder may be written to keep them: set NUMBA_CACHE_DIR to one"

Function = TypeVar("Function", bound=Callable[..., Any])


class _Announcer(event.Listener):
    """Warns in one line where the first of our loops is compiled in this process; numba tells it of nothing else."""

    def __init__(self) -> None:
        self.has_spoken = False
        self.are_kept = True

    def on_start(self, event: Any) -> None:
        if not self.has_spoken and event.data["dispatcher"].py_func.__module__.startswith("postproc."):
            self.has_spoken = True
            logging.getLogger("finblend").warning(COMPILING + (KEPT if self.are_kept else NOT_KEPT))

    def on_end(self, event: Any) -> None:
        pass


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)  # type: ignore[no-untyped-call]


def as_read(array: np.ndarray) -> np.ndarray:
    """A view of an array that may not be written to.

    Loops are compiled once for arrays that may be and once more for those that may not, as memory-mapped ones: what a
    loop only reads comes in one form.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@functools.cache
def fingerprint(folder: Path = Path(__file__).parent) -> str:
    """SHA-256 of the sources of all loops."""
    sources = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources if "kernel" in source.name)).hexdigest()


def kernel(**options: Any) -> Callable[[Function], Function]:
    """Compile a function on its first call, and keep it on disk.

    Parameters
    ----------
    **options
        As of `numba.njit`.
    """

    def decorate(function: Function) -> Function:
        try:
            compiled = numba.njit(cache=True, **options)(function)
            file = compiled._cache._cache_file
            file._source_stamp = (file._source_stamp, fingerprint())
        except RuntimeError as error:
            if "no locator" not in str(error):
                raise
            _ANNOUNCER.are_kept = False
            compiled = numba.njit(**options)(function)
        return compiled  # type: ignore[no-any-return]

    return decorate
