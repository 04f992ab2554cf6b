"""What approximate lists have of the exact ones, on some of the queries."""

from __future__ import annotations

from functools import partial

import numpy as np

from ensemble.retrieval.neighbours import nearest, nearest_met
from ensemble.retrieval.one_pass import OnePass
from ensemble.retrieval.query_set import QuerySet


def recall_of_lists(query_set: QuerySet, rows: np.ndarray) -> tuple[float, float]:
    """Share of the nearest photos that the sources' lists have, and of the very nearest, over sources and views.

    Parameters
    ----------
    query_set : QuerySet
    rows : (n,) int array
        Queries that are searched exactly.
    """
    there, first, n_there, n_first = 0, 0, 0, 0
    for task in query_set.tasks:
        at = np.flatnonzero(np.isin(task.rows, rows))
        if not len(at):
            continue
        with task.spaces() as spaces:
            lists = nearest(task, partial(OnePass([task], None).of, task, spaces))
            for name, views in lists.items():
                for view, near in enumerate(views):
                    exact = nearest_met(task, spaces[name], task.nearest, view, task.rows[at]).index
                    is_found = (exact[:, :, None] == near.index[at][:, None, :]).any(axis=2) & (exact >= 0)
                    there, n_there = there + int(is_found.sum()), n_there + int((exact >= 0).sum())
                    first, n_first = first + int(is_found[:, 0].sum()), n_first + int((exact[:, 0] >= 0).sum())
    return there / max(1, n_there), first / max(1, n_first)
