"""Compiled loops of this room: kept on disk where a folder may be written, else compiled again in each process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function on its first call; it lets go of the interpreter's lock, so that threads share the pairs."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
        return cast(Function, numba.njit(nogil=True)(function))
