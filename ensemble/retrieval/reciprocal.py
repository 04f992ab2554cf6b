"""k-reciprocal similarities of a part's queries and their nearest photos, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ensemble.project.cache import cached
from ensemble.project.progress import Progress, step
from ensemble.retrieval.neighbours import nearest
from ensemble.retrieval.task import Part
from postproc import Neighbours, Space
from postproc.transforms.reciprocal import Reciprocal, gallery_lists, reciprocal_similarities
from postproc.transforms.reciprocal_evidence import Reranked


def reranked(
    part: Part, spaces: Callable[[], dict[str, Space]], progress: Progress | None, names: list[str] | None = None
) -> dict[str, list[Reranked]]:
    """One `Reranked` a query view, for each source (or some) that has the operator."""
    found = {}
    for name in part.sources if names is None else names:
        how = part.operators[name].reciprocal if name in part.operators else None
        if how is None:
            continue
        near = nearest(part, spaces, progress, [name])[name]

        key = [part.made_from(name), how.k1, how.k2]
        entry = cached(
            part.project.cache,
            f"reciprocal-{part.name}-{name}",
            key,
            partial(_computed, part, name, how, near, spaces, progress),
        )
        found[name] = [Reranked(part.rows, own.index, entry[f"value{v}"], how.weight) for v, own in enumerate(near)]
    return found


def _computed(
    part: Part,
    name: str,
    how: Reciprocal,
    near: list[Neighbours],
    spaces: Callable[[], dict[str, Space]],
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    out, space = {}, spaces()[name]
    advance = step(progress, f"reciprocal {part.name} {name}", len(part.rows) * len(near))
    for v, own in enumerate(near):
        lists = gallery_lists(space, how.k1, part.gallery_rows, v)
        (out[f"value{v}"],) = reciprocal_similarities(
            space, own, lists, part.rows, part.gallery_rows, [how], v, progress=advance
        )
    return out
