"""The neighbours that a task's candidates come from: per source, within the likeliest species, by all sources at once.

Each search is in the cache by what it depends on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from ensemble.project.cache import cached, entries
from ensemble.retrieval.one_pass import TaskLists
from ensemble.retrieval.task import RetrievalTask
from postproc import NOBODY, Neighbours, Space, top_k
from postproc.evidence.evidence import FusedSearch
from postproc.neighbours.space import without_selves

Lists = Callable[[], TaskLists]


def nearest(task: RetrievalTask, lists: Lists) -> dict[str, list[Neighbours]]:
    """The nearest photos in every source and view."""
    found = {}
    for name in task.models:
        n_views = len(task.views[name])

        def search(name: str = name, n_views: int = n_views) -> dict[str, np.ndarray]:
            return _arrays([lists().nearest[name, v] for v in range(n_views)])

        entry = cached(task.project.cache, f"nearest-{task.name}-{name}", task.made_from(name), search)
        found[name] = _lists(entry, n_views)
    return found


def nearest_same_species(
    task: RetrievalTask, spaces: Callable[[], dict[str, Space]], lists: Lists, likely: np.ndarray
) -> dict[str, list[Neighbours]]:
    """The nearest photos of each query's likeliest species; queries whose species stays are not searched again."""
    found = {}
    for name in task.models:
        entry_name, n_views = f"kin-{task.name}-{name}", len(task.views[name])

        def search(name: str = name, entry_name: str = entry_name, n_views: int = n_views) -> dict[str, np.ndarray]:
            known: tuple[np.ndarray, list[Neighbours]] | None = None
            for about, old in entries(task.project.cache, entry_name):
                if about.get("made_from") == task.made_from(name):
                    known = old["species"], _lists(old, n_views)
            if known is None:
                known = lists().species, [lists().same_species[name, v] for v in range(n_views)]
            todo = np.flatnonzero(known[0] != likely)
            for v, near in enumerate(known[1]):
                if len(todo):
                    again = _search_same_species(task, spaces()[name], v, todo, likely, task.nearest)
                    known[1][v] = _replaced(near, todo, again)
            return {"species": likely, **_arrays(known[1])}

        key = [task.made_from(name), hashlib.sha256(likely.tobytes()).hexdigest()]
        entry = cached(task.project.cache, entry_name, key, search, {"made_from": task.made_from(name)})
        found[name] = _lists(entry, n_views)
    return found


def _search_same_species(
    task: RetrievalTask, space: Space, view: int, todo: np.ndarray, likely: np.ndarray, k: int
) -> Neighbours:
    query_class = np.zeros(space.n_query, dtype=np.int32)
    query_class[task.rows] = likely
    of_photo = task.project.catalogue.species_of_individual[task.gallery.labels]
    return nearest_met(task, space, k, view, task.rows[todo], query_class, of_photo)


def nearest_met(
    task: RetrievalTask,
    space: Space,
    k: int,
    view: int,
    rows: np.ndarray,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
) -> Neighbours:
    """The nearest photos (of the query's class) that the task's queries may meet: not their group's, not themselves."""
    gallery = task.gallery
    own = gallery.own(rows)
    near = top_k(
        space,
        k + int((own != NOBODY).any()),
        view=view,
        query_rows=rows,
        query_group=gallery.query_groups,
        gallery_group=None if gallery.query_groups is None else gallery.groups,
        query_class=query_class,
        gallery_class=gallery_class,
    )
    return near if near.index.shape[1] == k else without_selves(near, own)


def fused_search(
    task: RetrievalTask, spaces: Callable[[], dict[str, Space]], lists: Lists, likely: np.ndarray
) -> FusedSearch | None:
    """The nearest photos by all sources at once: one space whose parts are those of all sources."""
    if not task.is_fused:
        return None
    by_source: list[np.ndarray | None] = [None, None]

    def search() -> dict[str, np.ndarray]:
        found, every = lists(), spaces().values()
        near, same_species = found.fused, found.fused_same_species
        assert near is not None  # noqa: S101 - what is_fused says
        assert same_species is not None  # noqa: S101
        by_source[:] = found.fused_by_source, found.fused_same_species_by_source
        todo = np.flatnonzero(found.species != likely)
        if len(todo):
            space = Space(
                tuple(own for one in every for own in one.query), tuple(own for one in every for own in one.gallery)
            )
            again = _search_same_species(task, space, 0, todo, likely, task.nearest_fused)
            same_species = _replaced(same_species, todo, again)
            if (known := by_source[1]) is not None:
                unknown = known.copy()
                unknown[:, todo] = np.nan
                by_source[1] = unknown
        parts = np.array([len(one.query) for one in every])
        return {
            "index": near.index,
            "similarity": near.similarity,
            "kin_index": same_species.index,
            "kin_similarity": same_species.similarity,
            # a mean over parts: a model with five of them counts five times
            "weights": parts / parts.sum(),
        }

    key = [task.fused_made_from(), hashlib.sha256(likely.tobytes()).hexdigest()]
    found = cached(task.project.cache, f"together-{task.name}", key, search)
    return FusedSearch(
        np.array(found["weights"]),
        Neighbours(found["index"], found["similarity"]),
        Neighbours(found["kin_index"], found["kin_similarity"]),
        *by_source,
    )


def _replaced(near: Neighbours, rows: np.ndarray, by: Neighbours) -> Neighbours:
    index, similarity = near.index.copy(), near.similarity.copy()
    index[rows], similarity[rows] = by.index, by.similarity
    return Neighbours(index, similarity)


def _arrays(lists: list[Neighbours]) -> dict[str, np.ndarray]:
    named = ((f"index{v}", f"similarity{v}", near) for v, near in enumerate(lists))
    return {name: array for i, s, near in named for name, array in ((i, near.index), (s, near.similarity))}


def _lists(entry: Mapping[str, np.ndarray], n_views: int) -> list[Neighbours]:
    return [Neighbours(entry[f"index{v}"], entry[f"similarity{v}"]) for v in range(n_views)]
