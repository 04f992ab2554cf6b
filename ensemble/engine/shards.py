"""How a sequence falls into shards: few enough to begin cheaply, many enough for machines that are not alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

SHARDS = 64

Value = TypeVar("Value")


def shards(values: Sequence[Value], most: int = SHARDS) -> list[Sequence[Value]]:
    """Neighbouring values in at most so many shards of as good as one size.

    Examples
    --------
    >>> shards([1, 2, 3, 4, 5], most=2)
    [[1, 2], [3, 4, 5]]
    >>> shards([])
    []
    """
    n = min(most, len(values))
    return [values[len(values) * k // n : len(values) * (k + 1) // n] for k in range(n)]
