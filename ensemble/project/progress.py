"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def step(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    """What advances one bar of a progress."""
    return None if progress is None else lambda n: progress(what, n, total)
