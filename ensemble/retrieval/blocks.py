"""One pass in blocks of its queries, each an item of an engine, kept until evidence is made of it.

A query's lists depend on no other query, so blocks joined are the lists of one pass, to the bit. Workers map the very
files that the driver has: stores, and what it has whitened beside them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backbones.store import Store
from ensemble.engine.contract import Engine
from ensemble.engine.kept import read_arrays, write_arrays
from ensemble.engine.shards import shards
from ensemble.project.cache import ALGORITHM
from ensemble.project.progress import Progress, step
from ensemble.project.version import finblend_version
from ensemble.retrieval.task import RetrievalTask
from postproc import Neighbours, Space
from postproc.neighbours.lists import NeighbourLists, search_lists

# Blocks of one pass, whoever works on them, and queries that one has at least. A block passes over the whole gallery,
# and the product of two train photos, one for both in one pass, is taken in both their blocks.
BLOCKS = 32
LEAST = 1024
# seconds after which nobody is at work on a pass that no block has come of
LEFT_AFTER = 86400.0
_BY_SOURCE = "by_source"


@dataclass(frozen=True)
class Mapped:
    """Where an array lies: a view of a store's split, or a file of its own."""

    path: Path
    split: str = ""
    view: str = ""

    def array(self) -> np.ndarray:
        """(n, d) float32, memory-mapped."""
        if self.split:
            return Store(self.path).embedding(self.split, self.view)
        array: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


@dataclass(frozen=True)
class MappedSpace:
    """Where the arrays of a space lie: `query[part][view]`, `gallery[part][view]`."""

    query: tuple[tuple[Mapped, ...], ...]
    gallery: tuple[tuple[Mapped, ...], ...]

    @classmethod
    def of(cls, task: RetrievalTask, name: str, space: Space) -> MappedSpace:
        """Of one of a task's sources: its stores' arrays as they are, else files (`RetrievalTask.spaces`)."""
        stored = {
            id(array): Mapped(store.folder.absolute(), split, view)
            for split, side in ((task.split, task.raw[name].query), ("train", task.raw[name].gallery))
            for store, views in zip(task.stores[name], side, strict=True)
            for view, array in zip(task.views[name], views, strict=True)
        }

        def place(array: np.ndarray) -> Mapped:
            if id(array) in stored:
                return stored[id(array)]
            assert isinstance(array, np.memmap)  # noqa: S101
            # what was written through the map is to be in its file
            array.flush()
            return Mapped(Path(str(array.filename)))

        query, gallery = (tuple(tuple(map(place, views)) for views in side) for side in (space.query, space.gallery))
        return cls(query, gallery)

    def space(self) -> Space:
        """The space, opened."""
        query, gallery = (
            tuple(tuple(each.array() for each in views) for views in side) for side in (self.query, self.gallery)
        )
        return Space(query, gallery)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """One pass over the queries of tasks that share their spaces, as an engine works on it.

    Attributes
    ----------
    tasks : sequence of RetrievalTask
    engine : Engine
    rows : (n,) int array
        Of all tasks' queries.
    species : (n,) int32 array
        The class that each is searched in.
    """

    tasks: Sequence[RetrievalTask]
    engine: Engine
    rows: np.ndarray
    species: np.ndarray

    @property
    def places(self) -> list[Sequence[int]]:
        """Where in the rows each block is."""
        return shards(range(len(self.rows)), min(BLOCKS, len(self.rows) // LEAST))

    @property
    def folder(self) -> Path:
        """Where finished blocks are kept; its name is a hash of all that decides the lists."""
        made = [[task.name, task.fused_made_from(), task.is_fused] for task in self.tasks]
        asked = hashlib.sha256(self.rows.astype("<i8").tobytes() + self.species.astype("<i4").tobytes()).hexdigest()
        key = hashlib.sha256(json.dumps([ALGORITHM, finblend_version(), made, asked]).encode()).hexdigest()[:24]
        return self.tasks[0].project.cache / "lists" / key

    def search(
        self, spaces: Mapping[str, Space], options: Mapping[str, Any], progress: Progress | None
    ) -> NeighbourLists:
        """The lists of all rows.

        Parameters
        ----------
        spaces : mapping of source to Space
        options : mapping
            Of `search_lists`, but for its spaces, rows and progress; each view of each space is one of its columns.
        progress : callable, optional
        """
        task, folder = self.tasks[0], self.folder
        block = partial(
            block_of,
            tuple(MappedSpace.of(task, name, space) for name, space in spaces.items()),
            options,
            f"search {task.split}",
            len(self.rows),
        )
        items = [(folder / f"{at[0]}-{at[-1] + 1}.npz", self.rows[at[0] : at[-1] + 1]) for at in self.places]
        parts = list(self.engine.map(block, items, name="neighbours", folder=task.project.folder, progress=progress))
        # one by one, so that hardly more than the lists is held
        joined = {
            name: np.concatenate([part.pop(name) for part in parts], axis=1 if name.endswith(_BY_SOURCE) else 0)
            for name in tuple(parts[0])
        }
        return _lists(joined, options["known"])

    def drop(self) -> None:
        """Evidence is made of them; what drivers that were killed have left goes, too."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for other in self.folder.parent.glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - other.stat().st_mtime > LEFT_AFTER:
                    shutil.rmtree(other, ignore_errors=True)


def block_of(
    mapped: tuple[MappedSpace, ...],
    options: Mapping[str, Any],
    what: str,
    total: int,
    item: tuple[Path, np.ndarray],
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    """The lists of a block's queries, kept or searched now."""
    path, rows = item
    arrays = read_arrays(path, _names(options))
    if arrays is None:
        columns = [(space, view) for space in (each.space() for each in mapped) for view in range(space.n_views)]
        arrays = _arrays(
            search_lists(columns, **options, query_rows=rows, progress=step(progress, what, total)), _names(options)
        )
        write_arrays(path, arrays)
    elif progress is not None:
        progress(what, len(rows), total)
    return arrays


def _names(options: Mapping[str, Any]) -> list[str]:
    """The arrays of lists that are searched; where there are no classes, those within one are the same lists."""
    kinds = ["nearest"] if options["gallery_class"] is None else ["nearest", "same_class"]
    new = [f"{s}" for s, is_known in enumerate(options["known"]) if not is_known]
    parts = [f"{column}-{part}" for column in new for part in ("index", "similarity")]
    if options["k_fused"]:
        parts += [f"fused-{part}" for part in ("index", "similarity", _BY_SOURCE)]
    return [f"{kind}-{part}" for kind in kinds for part in parts]


def _arrays(found: NeighbourLists, names: Sequence[str]) -> dict[str, np.ndarray]:
    columns = {"nearest": found.nearest, "same_class": found.same_class}
    fused = {
        "nearest": (found.fused, found.fused_by_source),
        "same_class": (found.fused_same_class, found.fused_same_class_by_source),
    }
    out = dict[str, np.ndarray]()
    for name in names:
        kind, column, part = name.split("-")
        near, by_source = fused[kind] if column == "fused" else (columns[kind][int(column)], None)
        array = by_source if part == _BY_SOURCE else getattr(near, part)
        assert array is not None  # noqa: S101 - it was asked for
        out[name] = array
    return out


def _lists(arrays: Mapping[str, np.ndarray], known: Sequence[bool]) -> NeighbourLists:
    def near(kind: str, column: str) -> Neighbours | None:
        of = f"{kind}-{column}" if f"{kind}-{column}-index" in arrays else f"nearest-{column}"
        return Neighbours(arrays[f"{of}-index"], arrays[f"{of}-similarity"]) if f"{of}-index" in arrays else None

    return NeighbourLists(
        nearest=tuple(near("nearest", f"{s}") for s in range(len(known))),
        same_class=tuple(near("same_class", f"{s}") for s in range(len(known))),
        fused=near("nearest", "fused"),
        fused_same_class=near("same_class", "fused"),
        fused_by_source=arrays.get(f"nearest-fused-{_BY_SOURCE}"),
        fused_same_class_by_source=arrays.get(f"same_class-fused-{_BY_SOURCE}"),
    )
