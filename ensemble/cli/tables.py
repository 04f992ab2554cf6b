"""Tables for people: as wide as the terminal, or plain columns that `cut` and `awk` can part where there is none."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

# two blanks part columns: a cell holds at most one in a row, so `awk -F '  +'` parts them
GAP = 2
# names may be folded to so many letters where a terminal is narrow
FOLDED = 14


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "", spare: Sequence[str] = ()
) -> None:
    """Print a table; the first column to the left, numbers to the right.

    On a terminal it fits its width: words are wrapped, then long names folded, then the columns named in `spare` left
    out, the last first; numbers are never broken. Where even that is too wide, each row becomes a list. Piped, each row
    is one line without colour or rules.
    """
    cells = [[shown_value(value) for value in row] for row in rows]
    right = [n > 0 and not any(_is_text(row[n]) for row in rows) for n in range(len(header))]
    if not sys.stdout.isatty():
        _plain(title, header, cells, right)
    else:
        _fitting(title, list(header), cells, right, list(spare))
    if note:
        say(note)
    print()


def _fitting(
    title: str, header: list[str], cells: list[list[str]], right: list[bool], spare: list[str], left_out: str = ""
) -> None:
    """As a table that fits the terminal, else as lists."""
    width = terminal_width()
    widths = fitted(header, cells, width) or fitted(header, cells, width, [not to_right for to_right in right])
    if widths is not None:
        _drawn(title, header, cells, right, widths)
        if left_out:
            say(f"(too narrow for: {left_out})")
    elif spare:
        *rest, name = spare
        at = header.index(name)
        fewer = [row[:at] + row[at + 1 :] for row in (header, *cells)]
        out = f"{name}, {left_out}" if left_out else name
        _fitting(title, fewer[0], fewer[1:], right[:at] + right[at + 1 :], rest, out)
    else:
        _lists(title, header, cells, width)


def say(text: str, indent: str = "") -> None:
    """Print lines; on a terminal wrapped at words, with what is wrapped indented."""
    for line in text.splitlines():
        if not sys.stdout.isatty():
            print(f"{indent}{line}")
            continue
        start = indent + line[: len(line) - len(line.lstrip())]
        # a number keeps its %
        joined = line.strip().replace(" %", "\N{NO-BREAK SPACE}%")
        wrapped = textwrap.wrap(
            joined, terminal_width(), initial_indent=start, subsequent_indent=start + "  ", break_long_words=False
        )
        print("\n".join(wrapped).replace("\N{NO-BREAK SPACE}%", " %"))


def shown_value(value: Any) -> str:
    """Scores with four digits, everything else as it is, nothing as '-', and no control characters.

    Examples
    --------
    >>> shown_value(0.5), shown_value(None), shown_value(12)
    ('0.5000', '-', '12')
    """
    if value is None:
        return "-"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())) or "-"


def fitted(
    header: Sequence[str], cells: Sequence[Sequence[str]], width: int, folded: Sequence[bool] = ()
) -> list[int] | None:
    """Widths of columns that together fit, by wrapping at blanks; None where no such widths are enough.

    Columns that may be folded need no more than `FOLDED`, however long a word.

    Examples
    --------
    >>> fitted(["model", "MAP@5 alone"], [["b7", "0.5000"]], 80)
    [5, 11]
    >>> fitted(["model", "MAP@5 alone"], [["b7", "0.5000"]], 14)
    [5, 7]
    >>> fitted(["model", "MAP@5 alone"], [["b7", "0.5000"]], 10) is None
    True
    """
    from rich.cells import cell_len

    columns = list(zip(header, *cells, strict=True))
    natural = [max(map(cell_len, column)) for column in columns]
    least = [max(cell_len(word) for text in column for word in text.split(" ")) for column in columns]
    for n, may in enumerate(folded):
        least[n] = min(least[n], FOLDED) if may else least[n]
    spare = width - GAP * (len(columns) - 1) - sum(least)
    if spare < 0:
        return None
    widths = []
    for full, short in zip(natural, least, strict=True):
        widths.append(min(full, short + spare))
        spare -= widths[-1] - short
    return widths


def terminal_width() -> int:
    """Columns of the terminal on standard output; COLUMNS goes before."""
    return shutil.get_terminal_size().columns


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value[:1] not in "+-0123456789"


def _drawn(
    title: str, header: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], widths: Sequence[int]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # who wants no colour gets no bold either: no escape codes at all
    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(highlight=False, width=terminal_width(), color_system=None if plain else "auto")
    console.print(Text(title, style="bold"))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, collapse_padding=False, header_style="dim")
    for name, to_right, width in zip(header, right, widths, strict=True):
        table.add_column(Text(name), justify="right" if to_right else "left", width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _plain(title: str, header: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(header, *cells, strict=True)]
    print(title)
    for row in (header, *cells):
        parts = []
        for text, width, to_right in zip(row, widths, right, strict=True):
            padding = " " * (width - cell_len(text))
            parts.append(padding + text if to_right else text + padding)
        print((" " * GAP).join(parts).rstrip())


def _lists(title: str, header: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> None:
    print(title)
    for first, *rest in cells:
        print(first)
        for name, text in zip(header[1:], rest, strict=True):
            entry = f"{name}: {text}"
            lines = textwrap.wrap(entry, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
            print("\n".join(lines))
