"""Whitened spaces: fitted once on the gallery photos that queries meet, and kept in the project's cache.

Of a small space the mapped photos are kept, which nothing needs to be done with any more; of a large one the maps, and
its mapped photos, as large as the embeddings, live in files for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from backbones.store import Store
from ensemble.project.cache import cached
from ensemble.project.folder import Project
from postproc import Space
from postproc.neighbours.search import Views
from postproc.transforms.whitening import MAX_WIDTH, Whitening, fit_total, fit_whitening, fit_within

Job: TypeAlias = tuple[str, int]

# bytes of mapped photos up to which they are kept
SMALL = 2**25


def whitened(space: Space, fitted: list[Whitening], folder: Path, name: str) -> Space:
    """Map a space, each part by its own whitening.

    Parameters
    ----------
    space : Space
    fitted : list of Whitening
        One a part.
    folder : Path
        Where the mapped arrays are written: they are as large as the embeddings, so they are not held in memory.
    name : str
        Start of their file names.
    """
    parts_q, parts_g = [], []
    for p, (query, gallery) in enumerate(zip(space.query, space.gallery, strict=True)):
        views_g = _mapped(gallery, fitted[p], folder / f"{name}-{p}-gallery")
        parts_g.append(views_g)
        parts_q.append(views_g if _same(query, gallery) else _mapped(query, fitted[p], folder / f"{name}-{p}-query"))
    return Space(tuple(parts_q), tuple(parts_g))


def whitened_in_steps(
    space: Space, first: list[Whitening], labels: np.ndarray, rows: np.ndarray, folder: Path, name: str
) -> Iterator[tuple[str, Space]]:
    """A space by kind "total", as fitted, and by "within", fitted on what that makes of the gallery photos `rows`.

    No photo goes through the first step twice; the rest as of `whitened`.
    """
    total = whitened(space, first, folder, f"{name}-total")
    yield "total", total
    second = [fit_within(own, views, labels, rows) for own, views in zip(first, total.gallery, strict=True)]
    parts_q, parts_g = [], []
    for p, (query, gallery) in enumerate(zip(total.query, total.gallery, strict=True)):
        views_g = _mapped_on(gallery, second[p], folder / f"{name}-within-{p}-gallery")
        parts_g.append(views_g)
        parts_q.append(
            views_g if query is gallery else _mapped_on(query, second[p], folder / f"{name}-within-{p}-query")
        )
    yield "within", Space(tuple(parts_q), tuple(parts_g))


@dataclass(frozen=True, kw_only=True)
class KeptWhitening:
    """A model's whitening of some photos, fitted when it is first asked for.

    Attributes
    ----------
    cache : Path
        The project's.
    name : str
        Of the model and of what asks; one entry of each name and kind stays.
    kind : {"total", "within"}
    made_from : JSON value
        What it depends on.
    """

    cache: Path
    name: str
    kind: str
    made_from: Any

    @classmethod
    def of(cls, project: Project, stores: Sequence[Store], rows: np.ndarray, kind: str, name: str) -> KeptWhitening:
        """The one fitted on the train photos `rows` of stores, one a part of the space."""
        contents = [[store.manifest.content_sha256, store.views] for store in stores]
        fitted_on = hashlib.sha256(np.ascontiguousarray(rows, dtype=np.int64).tobytes()).hexdigest()
        return cls(cache=project.cache, name=name, kind=kind, made_from=[project.photos_hash, contents, fitted_on])

    def space(
        self, raw: Space, labels: np.ndarray, rows: np.ndarray, folder: Path, mapped: Space | None = None
    ) -> Space:
        """The whitened space.

        Parameters
        ----------
        raw : Space
            What it is fitted on, at the gallery photos `rows`.
        labels, rows
            As of `fit_whitening`.
        folder : Path
            For arrays that are not kept.
        mapped : Space, optional
            Another space of the same parts to be mapped, as with photos behind the gallery; by default the same.
        """
        if mapped is not None or not is_small(raw):
            return whitened(raw if mapped is None else mapped, self._kept_maps(raw, labels, rows), folder, self.name)

        def make() -> Space:
            # on one thread, as where it is chosen: how a product is cut among several may show in its last bits
            with threadpool_limits(1, user_api="blas"):
                steps = whitened_in_steps(raw, fit_first(raw, rows), labels, rows, folder, self.name)
                return next(space for kind, space in steps if kind == self.kind)

        return self.keep(raw, make)

    def keep(self, raw: Space, make: Callable[[], Space]) -> Space:
        """A small space from the cache; `make` gives it where it is not there."""

        def arrays() -> dict[str, np.ndarray]:
            made = make()
            sides = {"query": made.query, "gallery": made.gallery}
            return {
                f"{side}{p}-{v}": view
                for side, parts in sides.items()
                for p, views in enumerate(parts)
                for v, view in enumerate(views)
                if side == "gallery" or not _same(raw.query[p], raw.gallery[p])
            }

        entry = cached(self.cache, f"whitened-{self.name}-{self.kind}", self.made_from, arrays)
        parts_g = tuple(_views(entry, f"gallery{p}", views) for p, views in enumerate(raw.gallery))
        parts_q = tuple(
            parts_g[p] if _same(views, raw.gallery[p]) else _views(entry, f"query{p}", views)
            for p, views in enumerate(raw.query)
        )
        return Space(parts_q, parts_g)

    def _kept_maps(self, raw: Space, labels: np.ndarray, rows: np.ndarray) -> list[Whitening]:
        def arrays() -> dict[str, np.ndarray]:
            out = dict[str, np.ndarray]()
            for p, own in enumerate(fit_whitening(gallery, labels, rows, self.kind) for gallery in raw.gallery):
                out |= {f"mean{p}": own.mean, f"total{p}": own.total}
                out |= {} if own.within is None else {f"within{p}": own.within}
            return out

        entry = cached(self.cache, f"whitening-map-{self.name}-{self.kind}", self.made_from, arrays)
        return [
            Whitening(np.asarray(entry[f"mean{p}"]), np.asarray(entry[f"total{p}"]), entry.get(f"within{p}"))
            for p in range(len(raw.gallery))
        ]


def is_small(space: Space) -> bool:
    """Whether a space's mapped photos are few enough to be kept."""
    views = {id(view): view for parts in (space.query, space.gallery) for own in parts for view in own}
    return bool(sum(4 * len(view) * min(MAX_WIDTH, view.shape[1]) for view in views.values()) <= SMALL)


def fit_first(space: Space, rows: np.ndarray) -> list[Whitening]:
    """Fit kind "total", which "within" begins with, one a part."""
    return [fit_total(gallery, rows) for gallery in space.gallery]


class FirstSteps:
    """What `fit_first` fits, begun ahead of need on the threads that are free: one fit gains little by more than one.

    Parameters
    ----------
    jobs : mapping of (str, int) to callable
        What may be asked for.
    begin : list of (str, int)
        What probably will be, in its order.
    """

    def __init__(self, jobs: Mapping[Job, Callable[[], list[Whitening]]], begin: list[Job]) -> None:
        self._jobs, free = jobs, numba.get_num_threads() - 1
        self._pool = ThreadPoolExecutor(max(1, free))
        self._begun = {job: self._pool.submit(jobs[job]) for job in begin if free}
        # of the whole process: no byte may depend on which fits happen to run beside it
        self._limits = threadpool_limits(1, user_api="blas")

    def of(self, job: Job) -> list[Whitening]:
        """The fit of a job: from where it was begun, or now."""
        begun = self._begun.pop(job, None)
        return self._jobs[job]() if begun is None or begun.cancel() else begun.result()

    def drop(self, job: Job) -> None:
        """A job that will not be asked for."""
        begun = self._begun.pop(job, None)
        if begun is not None:
            begun.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()


def several(jobs: Mapping[str, Callable[[], Space]], *, at_once: bool) -> dict[str, Space]:
    """Spaces that do not depend on each other, where they are small as many at a time as there are threads."""
    if not at_once:
        return {name: job() for name, job in jobs.items()}
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(numba.get_num_threads()) as pool:
        begun = {name: pool.submit(job) for name, job in jobs.items()}
        return {name: job.result() for name, job in begun.items()}


def _same(query: Views, gallery: Views) -> bool:
    return all(a is b for a, b in zip(query, gallery, strict=True))


def _views(entry: Mapping[str, np.ndarray], name: str, like: Views) -> Views:
    return tuple(entry[f"{name}-{v}"] for v in range(len(like)))


def _mapped(views: Views, fitted: Whitening, path: Path) -> Views:
    return tuple(
        fitted.apply(view, _file(Path(f"{path}-{v}.npy"), (len(view), fitted.width))) for v, view in enumerate(views)
    )


def _mapped_on(views: Views, fitted: Whitening, path: Path) -> Views:
    return tuple(fitted.apply_within(view, _file(Path(f"{path}-{v}.npy"), view.shape)) for v, view in enumerate(views))


def _file(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
