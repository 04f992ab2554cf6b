"""What the commands share: errors in one line, progress on standard error, tables and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

Progress = Callable[[str, int, int], None]


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on standard error, one a kind of work; silent when it is no terminal."""
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
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.advance(tasks[what], done)

        yield advance


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def warn(lines: list[str]) -> None:
    """Warnings on standard error, one line each."""
    for line in lines:
        print(f"finblend: warning: {line}", file=sys.stderr)


def print_table(title: str, header: list[str], rows: list[list[Any]], note: str = "") -> None:
    """A table that stays readable without colour, and unbroken when piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    table = Table(title=Text(title), box=box.SIMPLE, title_justify="left", caption=Text(note), caption_justify="left")
    for name in header:
        table.add_column(name, justify="left" if name == header[0] else "right")
    for row in rows:
        table.add_row(*(Text(shown_value(value)) for value in row))
    console.print(table)


def shown_value(value: Any) -> str:
    """Scores with four digits, everything else as it is, nothing as '-'."""
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
