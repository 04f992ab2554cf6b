"""The one error that finblend raises for input it refuses."""

from __future__ import annotations

from collections.abc import Iterable


class FinblendError(ValueError):
    """Refused input: one line that names the file, the row, the value and the rule it breaks."""


def shown(values: Iterable[object], limit: int = 5) -> str:
    """Join values for an error line, cut after `limit` of them.

    Examples
    --------
    >>> shown(["a", "b", "c"], limit=2)
    'a, b, ... (3 in all)'
    """
    items = [str(value) for value in values]
    if len(items) <= limit:
        return ", ".join(items)
    return ", ".join(items[:limit]) + f", ... ({len(items)} in all)"
