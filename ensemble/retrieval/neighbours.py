"""The neighbours that a task's candidates come from: per source, within the likeliest species, by all sources at once.

Each search is in the cache by what it depends on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from ensemble.project.cache import cached, entries
from ensemble.project.progress import Progress, step
from ensemble.retrieval.task import RetrievalTask
from postproc import NOBODY, Neighbours, Space, top_k
from postproc.evidence.evidence import FusedSearch
from postproc.neighbours.space import without_selves


def nearest(
    task: RetrievalTask,
    spaces: Callable[[], dict[str, Space]],
    progress: Progress | None,
) -> dict[str, list[Neighbours]]:
    """The nearest photos in every source and view."""
    found = {}
    for name in task.models:

        def search(name: str = name) -> dict[str, np.ndarray]:
            advance = step(progress, f"search {task.name}", len(task.models))
            out: dict[str, np.ndarray] = {}
            for v in range(len(task.views[name])):
                near = _top(task, spaces()[name], task.nearest, v, task.rows)
                out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
            if advance is not None:
                advance(1)
            return out

        entry = cached(task.project.cache, f"nearest-{task.name}-{name}", task.made_from(name), search)
        found[name] = _lists(entry, len(task.views[name]))
    return found


def nearest_same_species(
    task: RetrievalTask, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> dict[str, list[Neighbours]]:
    """The nearest photos of each query's likeliest species; queries whose species stays are not searched again."""
    catalogue = task.project.catalogue
    of_photo = catalogue.species_of_individual[task.gallery.labels]
    found = {}
    for name in task.models:
        entry_name = f"kin-{task.name}-{name}"

        def search(name: str = name, entry_name: str = entry_name) -> dict[str, np.ndarray]:
            n_views = len(task.views[name])
            out: dict[str, np.ndarray] = {"species": likely}
            todo = np.arange(len(likely))
            for about, old in entries(task.project.cache, entry_name):
                if about.get("made_from") == task.made_from(name):
                    todo = np.flatnonzero(old["species"] != likely)
                    out |= {key: np.array(array) for key, array in old.items() if key != "species"}
            advance = step(progress, f"search kin {task.name}", len(task.models))
            for v in range(n_views):
                near = _search_same_species(task, spaces()[name], v, todo, likely, of_photo, task.nearest)
                if len(todo) == len(likely):
                    out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
                else:
                    out[f"index{v}"][todo], out[f"similarity{v}"][todo] = near.index, near.similarity
            if advance is not None:
                advance(1)
            return out

        key = [task.made_from(name), hashlib.sha256(likely.tobytes()).hexdigest()]
        entry = cached(task.project.cache, entry_name, key, search, {"made_from": task.made_from(name)})
        found[name] = _lists(entry, len(task.views[name]))
    return found


def _search_same_species(
    task: RetrievalTask,
    space: Space,
    view: int,
    todo: np.ndarray,
    likely: np.ndarray,
    of_photo: np.ndarray,
    k: int,
) -> Neighbours:
    query_class = np.zeros(space.n_query, dtype=np.int32)
    query_class[task.rows] = likely
    return _top(task, space, k, view, task.rows[todo], query_class, of_photo)


def _top(
    task: RetrievalTask,
    space: Space,
    k: int,
    view: int,
    rows: np.ndarray,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
) -> Neighbours:
    """The nearest photos that the task's queries may meet: none of their own group, and no photo itself."""
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
    task: RetrievalTask, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> FusedSearch | None:
    """The nearest photos by all sources at once: one space whose parts are those of all sources."""
    if len(task.models) < 2 or any(len(views) > 1 for views in task.views.values()):
        return None
    catalogue = task.project.catalogue
    of_photo = catalogue.species_of_individual[task.gallery.labels]

    def search() -> dict[str, np.ndarray]:
        every = spaces().values()
        space = Space(
            tuple(own for one in every for own in one.query), tuple(own for one in every for own in one.gallery)
        )
        near = _top(task, space, task.nearest_fused, 0, task.rows)
        same_species = near
        if len(catalogue.species) > 1:
            everybody = np.arange(len(likely))
            same_species = _search_same_species(task, space, 0, everybody, likely, of_photo, task.nearest_fused)
        if progress is not None:
            progress(f"search together {task.name}", 1, 1)
        return {
            "index": near.index,
            "similarity": near.similarity,
            "kin_index": same_species.index,
            "kin_similarity": same_species.similarity,
            # a mean over parts: a model with five of them counts five times
            "weights": np.array([len(one.query) for one in every]) / len(space.query),
        }

    key = [task.fused_made_from(), hashlib.sha256(likely.tobytes()).hexdigest()]
    found = cached(task.project.cache, f"together-{task.name}", key, search)
    return FusedSearch(
        np.array(found["weights"]),
        Neighbours(found["index"], found["similarity"]),
        Neighbours(found["kin_index"], found["kin_similarity"]),
    )


def _lists(entry: Mapping[str, np.ndarray], n_views: int) -> list[Neighbours]:
    return [Neighbours(entry[f"index{v}"], entry[f"similarity{v}"]) for v in range(n_views)]
