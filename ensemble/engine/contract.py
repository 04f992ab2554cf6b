"""What every engine does, and what work is to be like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from ensemble.project.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
# work: called with an item and with what it may tell its progress to
Work: TypeAlias = Callable[[Item, Progress | None], Result]


class Engine(Protocol):
    """Calls a function for each of several items, wherever that is.

    Work must be such that nothing tells where it ran: a function of a module with what can be sent to another process,
    which gets everything else from the project's folder. What it leaves there it writes beside its place and renames;
    done once more, after its process was killed, it leaves the same.
    """

    @property
    def cpus(self) -> int | None:
        """CPUs, and threads, that an item gets; None for all that this process has."""
        ...

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
        """Call the function for each item; results come in the order of the items, each as soon as it can.

        Parameters
        ----------
        work : callable
            With an item and a progress or None.
        items : sequence
        name : str
            What is done, for people.
        folder : Path
            The project's, which every worker must see.
        gpus : int
            How many an item gets where there are any.
        progress : callable, optional
            What the function tells is told here.

        Raises
        ------
        FinblendError
            What the function refuses; and if workers can't be had, can't see the folder, or end again and again before
            their work does.
        """
        ...
