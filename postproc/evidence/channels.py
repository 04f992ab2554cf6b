"""Which column of similarities speaks for a source in a query view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def channel_table(views: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, list[tuple[str, int | None]]]:
    """Lay out the columns of evidence.

    Sources with several views are compared view by view; a source that lacks a view (or has a single one) stands in
    with the mean over its own views.

    Parameters
    ----------
    views : mapping of source to its view names

    Returns
    -------
    channels : (sources, views) int32 array
    columns : list of (source, view position or None)
        None is the mean over the source's views.

    Examples
    --------
    >>> table, columns = channel_table({"a": ["orig", "hflip"], "b": ["orig"]})
    >>> table.tolist(), columns
    ([[0, 1], [2, 2]], [('a', 0), ('a', 1), ('b', 0)])
    """
    wanted = list(dict.fromkeys(view for names in views.values() if len(names) > 1 for view in names)) or ["any"]
    columns: list[tuple[str, int | None]] = []
    table = np.empty((len(views), len(wanted)), dtype=np.int32)
    for s, (source, names) in enumerate(views.items()):
        for v, view in enumerate(wanted):
            if len(names) == 1:
                column: tuple[str, int | None] = (source, 0)
            else:
                column = (source, list(names).index(view) if view in names else None)
            if column not in columns:
                columns.append(column)
            table[s, v] = columns.index(column)
    return table, columns
