"""k-reciprocal similarities of a part's queries and their nearest photos, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ensemble.project.cache import cached
from ensemble.project.progress import Progress, step
from ensemble.retrieval.neighbours import nearest
from ensemble.retrieval.task import RetrievalTask
from postproc import Neighbours, Space
from postproc.transforms.reciprocal import Reciprocal, gallery_lists, reciprocal_similarities
from postproc.transforms.reciprocal_evidence import ReciprocalSimilarity


def reranked(
    task: RetrievalTask,
    spaces: Callable[[], dict[str, Space]],
    progress: Progress | None,
    names: list[str] | None = None,
) -> dict[str, list[ReciprocalSimilarity]]:
    """One `ReciprocalSimilarity` a query view, for each source (or some) that has the operator."""
    found = {}
    for name in task.models if names is None else names:
        how = task.operators[name].reciprocal if name in task.operators else None
        if how is None:
            continue
        near = nearest(task, spaces, progress, [name])[name]

        key = [task.made_from(name), how.k1, how.k2]
        entry = cached(
            task.project.cache,
            f"reciprocal-{task.name}-{name}",
            key,
            partial(_computed, task, name, how, near, spaces, progress),
        )
        found[name] = [
            ReciprocalSimilarity(task.rows, own.index, entry[f"value{v}"], how.weight) for v, own in enumerate(near)
        ]
    return found


def _computed(
    task: RetrievalTask,
    name: str,
    how: Reciprocal,
    near: list[Neighbours],
    spaces: Callable[[], dict[str, Space]],
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    out, space = {}, spaces()[name]
    advance = step(progress, f"reciprocal {task.name} {name}", len(task.rows) * len(near))
    for v, own in enumerate(near):
        lists = gallery_lists(space, how.k1, task.gallery_rows, v)
        (out[f"value{v}"],) = reciprocal_similarities(
            space, own, lists, task.rows, task.gallery_rows, [how], v, progress=advance
        )
    return out
