"""How numbers are written, on the page and in the terminal."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[<>~≈]?\s*([-+\u2212]?[\d,]*\.?\d+)\s*%?")


def shown(value: object) -> str:
    """Whole numbers with thousands separators, others with four digits, nothing as '-'.

    >>> shown(51033), shown(0.87654), shown(12.0), shown(None), shown("auto")
    ('51,033', '0.8765', '12', '-', 'auto')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) > 1):
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def share(value: float) -> str:
    """A share as per cent; nearly all and nearly none are told from all and none.

    >>> share(0.1124), share(0.9999), share(1.0), share(0.0)
    ('11.2 %', '99.99 %', '100.0 %', '0.0 %')
    """
    digits = 1
    while digits < 4 and 0 < value < 1 and f"{100 * value:.{digits}f}" in {f"{0:.{digits}f}", f"{100:.{digits}f}"}:
        digits += 1
    return f"{100 * value:.{digits}f} %"


def numeric(cell: object) -> float | None:
    """The number that a cell is or writes, for sorting; None where it is words.

    >>> numeric("1,234"), numeric("11.2 %"), numeric("b7"), numeric(3)
    (1234.0, 11.2, None, 3.0)
    """
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return float(cell)
    written = NUMBER.fullmatch(cell.strip()) if isinstance(cell, str) else None
    return float(written[1].replace(",", "").replace("\u2212", "-")) if written else None
