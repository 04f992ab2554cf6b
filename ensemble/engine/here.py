"""In this process: one item after the other, with all its threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.engine.contract import Item, Result, Work
from ensemble.project.progress import Progress


@dataclass(frozen=True)
class Here:
    """The engine that needs nothing.

    Examples
    --------
    >>> list(Here().map(lambda item, progress: 2 * item, [1, 2], name="twice", folder=Path()))
    [2, 4]
    """

    cpus: int | None = None

    def map(
        self,
        work: Work[Item, Result],
        items: Sequence[Item],
        *,
        name: str,
        folder: Path,
        gpus: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """See `Engine.map`."""
        return (work(item, progress) for item in items)


HERE = Here()
