"""All lists of tasks that share their spaces, searched in one pass when the first of them asks.

The lists within a query's likeliest species are searched before its neighbours have voted on that species, so a guess
stands in for it: the table's species for train photos, the nearest centre for test photos. Where the vote says
otherwise, these lists are searched again (`ensemble.retrieval.neighbours`): a guess costs time, never an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.project.cache import entries, is_kept
from ensemble.project.progress import Progress, step
from ensemble.retrieval.blocks import Blocks
from ensemble.retrieval.task import RetrievalTask
from postproc import NOBODY, Neighbours, Space
from postproc.neighbours.approximate import EXACT
from postproc.neighbours.lists import NeighbourLists, search_lists
from postproc.neighbours.space import without_selves

# gallery photos that a species' centre is the mean of
_OF_A_CENTRE = 256


@dataclass(frozen=True, kw_only=True)
class TaskLists:
    """What one pass found for a task.

    Attributes
    ----------
    species : (n,) int32 array
        The species that `same_species` was searched in.
    nearest, same_species : mapping of (source, view) to Neighbours
    fused, fused_same_species : Neighbours or None
    fused_by_source, fused_same_species_by_source : (sources, n, k) float32 arrays or None
    """

    species: np.ndarray
    nearest: Mapping[tuple[str, int], Neighbours]
    same_species: Mapping[tuple[str, int], Neighbours]
    fused: Neighbours | None
    fused_same_species: Neighbours | None
    fused_by_source: np.ndarray | None
    fused_same_species_by_source: np.ndarray | None


class OnePass:
    """The lists of tasks that share their spaces and their gallery; searched once.

    Parameters
    ----------
    tasks : sequence of RetrievalTask
    progress : callable, optional
    engine : Engine
        Where blocks of queries are searched, if it is not this process.
    """

    def __init__(self, tasks: Sequence[RetrievalTask], progress: Progress | None, engine: Engine = HERE) -> None:
        self.tasks, self.progress, self.engine = tasks, progress, engine
        self._blocks: Blocks | None = None
        self._found: tuple[np.ndarray, list[tuple[str, int]], NeighbourLists] | None = None

    def of(self, task: RetrievalTask, spaces: Mapping[str, Space]) -> TaskLists:
        """The lists of one of the tasks; `spaces` are those of any of them."""
        if self._found is None:
            self._found = self._search(spaces)
        species, columns, found = self._found
        before = sum(len(other.rows) for other in self.tasks[: self.tasks.index(task)])
        at = slice(before, before + len(task.rows))

        def part(near: Neighbours | None) -> Neighbours | None:
            return None if near is None else Neighbours(near.index[at], near.similarity[at])

        by_source = (found.fused_by_source, found.fused_same_class_by_source)
        first, second = (None if values is None else values[:, at] for values in by_source)
        nearest, same = (
            {column: part(near) for column, near in zip(columns, lists, strict=True) if near is not None}
            for lists in (found.nearest, found.same_class)
        )
        return TaskLists(
            species=species[at],
            nearest=nearest,  # type: ignore[arg-type]
            same_species=same,  # type: ignore[arg-type]
            fused=part(found.fused),
            fused_same_species=part(found.fused_same_class),
            fused_by_source=first,
            fused_same_species_by_source=second,
        )

    def _search(self, spaces: Mapping[str, Space]) -> tuple[np.ndarray, list[tuple[str, int]], NeighbourLists]:
        task = self.tasks[0]
        rows = np.concatenate([each.rows for each in self.tasks])
        of_photo = task.project.catalogue.species_of_individual[task.gallery.labels].astype(np.int32)
        species = np.concatenate([_guess(each, spaces, of_photo) for each in self.tasks])
        query_class = np.zeros(spaces[next(iter(spaces))].n_query, dtype=np.int32)
        query_class[rows] = species
        with_classes = len(task.project.catalogue.species) > 1
        columns = [(name, view) for name, names in task.views.items() for view in range(len(names))]
        gallery, own = task.gallery, task.gallery.own(rows)
        one_more = int((own != NOBODY).any())
        options: dict[str, Any] = {
            "k": task.nearest + one_more,
            "k_fused": task.nearest_fused + one_more if task.is_fused else 0,
            "neighbours": task.neighbours,
            "known": [self._is_known(name) for name, _ in columns],
            "query_group": gallery.query_groups,
            "gallery_group": None if gallery.query_groups is None else gallery.groups,
            "query_class": query_class if with_classes else None,
            "gallery_class": of_photo if with_classes else None,
        }
        blocks = Blocks(tasks=self.tasks, engine=self.engine, rows=rows, species=species)
        # an index is made once: in blocks each would make its own
        if self.engine.cpus is not None and len(blocks.places) > 1 and task.neighbours == EXACT:
            self._blocks = blocks
            found = blocks.search({name: spaces[name] for name in task.views}, options, self.progress)
        else:
            found = search_lists(
                [(spaces[name], view) for name, view in columns],
                query_rows=rows,
                progress=step(self.progress, f"search {task.split}", len(rows)),
                **options,
            )
        return species, columns, without_own(found, own) if one_more else found

    def drop(self) -> None:
        """Evidence of all tasks is kept: blocks need not be."""
        if self._blocks is not None:
            self._blocks.drop()

    def _is_known(self, name: str) -> bool:
        """Whether every task has the lists of a source."""
        for task in self.tasks:
            made, cache = task.made_from(name), task.project.cache
            same_species = entries(cache, f"kin-{task.name}-{name}")
            if not is_kept(cache, f"nearest-{task.name}-{name}", made):
                return False
            if not any(about.get("made_from") == made for about, _ in same_species):
                return False
        return True


def without_own(found: NeighbourLists, own: np.ndarray) -> NeighbourLists:
    """Lists one shorter: without the photo that is the query itself, or without the last."""
    kept = [None if near is None else without_selves(near, own) for near in found.nearest]
    same = [None if near is None else without_selves(near, own) for near in found.same_class]
    fused, fused_same = (
        None if near is None else without_selves(near, own) for near in (found.fused, found.fused_same_class)
    )
    return NeighbourLists(nearest=tuple(kept), same_class=tuple(same), fused=fused, fused_same_class=fused_same)


def shared(tasks: Sequence[RetrievalTask]) -> list[list[RetrievalTask]]:
    """Tasks sorted into those that share their spaces: networks that saw no label, and no whitening that is fitted."""
    first = tasks[0]
    plain = all(first.whitening.get(name, "none") == "none" for name in first.models)
    frozen = all(model.frozen is not None for model in first.models.values())
    one_gallery = all(task.added is None for task in tasks) and first.query_groups is not None
    if plain and frozen and one_gallery:
        return [list(tasks)]
    return [[task] for task in tasks]


def _guess(task: RetrievalTask, spaces: Mapping[str, Space], of_photo: np.ndarray) -> np.ndarray:
    """(n,) int32 likely species of a task's queries."""
    catalogue = task.project.catalogue
    n_species = len(catalogue.species)
    if n_species == 1:
        return np.zeros(len(task.rows), dtype=np.int32)
    if task.split == "train":
        species = of_photo[task.rows]
    else:
        species = _nearest_centre(list(spaces.values()), task.rows, of_photo, n_species)
    votes = np.zeros((len(task.rows), n_species), dtype=np.float32)
    votes[np.arange(len(species)), species] = 1.0
    return np.asarray(task.settle_species(votes).argmax(axis=1).astype(np.int32))


def _nearest_centre(spaces: list[Space], rows: np.ndarray, of_photo: np.ndarray, n_species: int) -> np.ndarray:
    """(n,) species whose centre is nearest, by all sources' first views."""
    near = np.zeros((len(rows), n_species), dtype=np.float32)
    for space in spaces:
        query, gallery = space.query[0][0], space.gallery[0][0]
        centres = np.zeros((n_species, gallery.shape[1]), dtype=np.float32)
        for species in range(n_species):
            of_species = np.flatnonzero(of_photo == species)
            some = _unit(gallery[of_species[:: max(1, len(of_species) // _OF_A_CENTRE)]])
            centres[species] = some.mean(axis=0) if len(some) else -1e3
        centres = _unit(centres)
        for start in range(0, len(rows), 4096):
            near[start : start + 4096] += _unit(query[rows[start : start + 4096]]) @ centres.T
    return np.asarray(near.argmax(axis=1))


def _unit(array: np.ndarray) -> np.ndarray:
    return np.asarray(array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12))
