"""What the commands share: errors in one line, progress on standard error, tables and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ensemble.cli.tables import print_table, say, shown_value
from ensemble.project.progress import Progress
from ensemble.project.result import Result

__all__ = ["Figures", "Progress", "counted", "print_json", "print_table", "progress_bars", "say", "shown_value", "warn"]

# what a public function returns, asked by the keys that --json prints
Figures = Result | Mapping[str, Any]


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on standard error, one a kind of work; silent when it is no terminal, or one that can't redraw a line."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    console = Console(stderr=True)

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal or console.is_dumb_terminal) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.advance(tasks[what], done)

        yield advance


def print_json(value: Any) -> None:
    """One JSON value on standard output; a result as the dict of its fields."""
    if isinstance(value, Result):
        value = value.as_dict()
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def warn(lines: list[str]) -> None:
    """Warnings on standard error, one line each."""
    for line in lines:
        print(f"finblend: warning: {line}", file=sys.stderr)


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number and what it counts.

    Examples
    --------
    >>> counted(1, "photo"), counted(2, "photo"), counted(1, "box is", "boxes are")
    ('1 photo', '2 photos', '1 box is')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
