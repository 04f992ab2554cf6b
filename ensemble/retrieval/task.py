"""Retrieval tasks: queries that share their spaces and their gallery (one fold, or all test photos)."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backbones.pair_store import PairStore
from backbones.store import Store
from ensemble.project.folder import Project
from ensemble.project.pseudo_rounds import AddedPhotos
from ensemble.registry.models import Model
from ensemble.retrieval.whitening import KeptWhitening, is_small, several
from postproc import NOBODY, Gallery, Space
from postproc.evidence.pairs import PairTable
from postproc.neighbours.approximate import APPROXIMATE_ALGORITHM, EXACT
from postproc.ranking.exhaustive import ExhaustiveSearch

# Candidates per source and view: the K nearest photos, and as many within the likeliest species. Those of all sources
# at once come from a search of its own. Measured at Happywhale's size (docs/benchmarks.md): what they leave open of a
# tuned blend's MAP@5 is far below 0.001.
NEAREST = 64
NEAREST_FUSED = 128


@dataclass(frozen=True, kw_only=True)
class RetrievalTask:
    """Queries that share their spaces.

    Attributes
    ----------
    project : Project
    name : str
        Of its entries in the cache.
    split : {"train", "test"}
        Which photos the queries are.
    models : mapping of name to Model
    whitening : mapping of name to {"none", "total", "within"}
    stores : mapping of source to the stores that speak for these queries
    raw : mapping of source to its Space before whitening
    contents : mapping of source to hashes of all embeddings that the source rests on
    rows : (n,) int array
        Rows of the spaces' queries.
    fold : int or None
        The fold that is held out: no network of the spaces saw its labels, no whitening its photos. Out-of-fold it is
        the queries' own.
    groups : (n_train,) int32 array or None
        Of the train photos in the gallery, see `cv.left_out`.
    query_groups : (n,) int32 array or None
        The group whose photos each query of the split does not meet; None where all meet all.
    added : AddedPhotos or None
        Named test photos in the gallery, behind the train photos.
    settle_species : callable
        (n, n_species) votes to the shares that count: with registered and given species.
    pair_stores : mapping of str to PairStore
        Pair sources that say something of these queries.
    neighbours : {"exact", "approximate"}
        How its lists are searched (`postproc.neighbours.lists`).
    """

    project: Project
    name: str
    split: Literal["train", "test"]
    models: Mapping[str, Model]
    whitening: Mapping[str, str]
    stores: Mapping[str, list[Store]]
    raw: Mapping[str, Space]
    contents: Mapping[str, list[str]]
    rows: np.ndarray
    fold: int | None
    groups: np.ndarray | None = None
    query_groups: np.ndarray | None = None
    added: AddedPhotos | None = None
    settle_species: Callable[[np.ndarray], np.ndarray] = lambda votes: votes
    pair_stores: Mapping[str, PairStore] = field(default_factory=dict)
    neighbours: str = EXACT

    @property
    def views(self) -> dict[str, list[str]]:
        """View names of each source."""
        return {name: model.views for name, model in self.models.items()}

    @property
    def nearest(self) -> int:
        """How many nearest photos of each source and view are candidates."""
        return NEAREST

    @property
    def nearest_fused(self) -> int:
        """How many nearest photos of all sources at once are candidates."""
        return NEAREST_FUSED

    @property
    def is_fused(self) -> bool:
        """Whether there is a search by all sources at once: not with several views, whose blends are no one space."""
        return len(self.models) > 1 and all(len(views) == 1 for views in self.views.values())

    @cached_property
    def gallery(self) -> Gallery:
        """Who is on the gallery photos, and whom each query meets."""
        catalogue = self.project.catalogue
        if self.added is None:
            return Gallery(catalogue.labels, self.groups, query_groups=self.query_groups)
        # added photos are of no group, so every query meets them but the one that is such a photo itself
        labels = np.append(catalogue.labels, self.added.labels).astype(np.int32)
        nobody = np.full(len(self.added.rows), NOBODY)
        groups = None if self.groups is None else np.append(self.groups, nobody).astype(np.int32)
        selves = None
        if self.split == "test":
            selves = np.full(catalogue.test.height, NOBODY, dtype=np.int32)
            selves[self.added.rows] = len(catalogue.labels) + np.arange(len(self.added.rows))
        return Gallery(labels, groups, selves, self.query_groups)

    @property
    def gallery_images(self) -> list[str]:
        """Names of the gallery photos."""
        catalogue = self.project.catalogue
        train_images = catalogue.train_images
        if self.added is None:
            return train_images
        return train_images + [catalogue.test_images[int(row)] for row in self.added.rows]

    @property
    def pair_tables(self) -> list[PairTable]:
        """What each pair source says of the queries and the train photos that they meet."""
        tables = []
        for store in self.pair_stores.values():
            pairs = store.pairs(self.split)
            n = self.project.catalogue.test.height if self.split == "test" else len(self.project.catalogue.labels)
            start = np.searchsorted(pairs.query, np.arange(n + 1)).astype(np.int64)
            second = np.full(len(pairs), np.nan, dtype=np.float32) if pairs.second is None else pairs.second
            table = PairTable(start, pairs.gallery, pairs.score, second).take(self.rows)
            if self.query_groups is not None and self.groups is not None:
                own = self.query_groups[self.rows]
                table = table.where(self.groups[table.gallery] != own[table.query])
            tables.append(table)
        return tables

    def made_from(self, name: str) -> list[Any]:
        """What a source's neighbours depend on."""
        kind = self.whitening.get(name, "none")
        made = [self.project.photos_hash, self.nearest, self.contents[name], self.models[name].views, kind]
        if self.groups_hash:
            made.append(self.groups_hash)
        if self.neighbours != EXACT:
            made.append(APPROXIMATE_ALGORITHM)
        return made if self.added is None else [*made, self.added.fingerprint]

    def fused_made_from(self) -> list[Any]:
        """What the neighbours by all sources at once depend on."""
        return [self.nearest_fused, [self.made_from(name) for name in self.models]]

    @cached_property
    def groups_hash(self) -> str:
        """Of who meets whom, where that is not told by the folds alone; else empty."""
        catalogue = self.project.catalogue
        if self.groups is None or self.query_groups is None or np.array_equal(self.groups, catalogue.folds):
            return ""
        return hashlib.sha256(
            self.groups.astype("<i4").tobytes() + self.query_groups.astype("<i4").tobytes()
        ).hexdigest()

    @property
    def fitted_rows(self) -> np.ndarray:
        """Train photos that whitening is fitted on: a held-out fold has no say."""
        folds = self.project.catalogue.folds
        return np.arange(len(folds)) if self.fold is None else np.flatnonzero(folds != self.fold)

    @contextlib.contextmanager
    def spaces(self, names: list[str] | None = None) -> Iterator[dict[str, Space]]:
        """The whitened spaces; new arrays are as large as the embeddings and live in files."""
        self.project.cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.project.cache) as folder:
            wanted = list(self.models if names is None else names)
            jobs = {name: partial(self._space, name, Path(folder)) for name in wanted}
            yield several(jobs, at_once=all(is_small(self.raw[name]) for name in wanted))

    def _space(self, name: str, folder: Path) -> Space:
        kind, raw = self.whitening.get(name, "none"), self.raw[name]
        extended = None if self.added is None else self._extended(name, raw, folder)
        if kind == "none":
            return extended or raw
        # photos that pseudo-labels name have no say in the whitening
        rows, of_task = self.fitted_rows, f"fold{self.fold}" if self.split == "train" else self.name
        of_task = of_task.removesuffix(f"-{self.neighbours}")
        kept = KeptWhitening.of(self.project, self.stores[name], rows, kind, f"{name}-{of_task}")
        return kept.space(raw, self.project.catalogue.labels, rows, folder, extended)

    def _extended(self, name: str, raw: Space, folder: Path) -> Space:
        """A space with the added photos behind its gallery, written into files: it is as large as the embeddings."""
        assert self.added is not None  # noqa: S101 - checked by the caller
        parts = []
        for p, (store, views) in enumerate(zip(self.stores[name], raw.gallery, strict=True)):
            out = []
            for v, (view, array) in enumerate(zip(self.models[name].views, views, strict=True)):
                shape = (len(array) + len(self.added.rows), array.shape[1])
                path = folder / f"{name}-{p}-{v}-extended.npy"
                both = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
                both[: len(array)] = array
                both[len(array) :] = store.embedding("test", view)[self.added.rows]
                out.append(both)
            parts.append(tuple(out))
        return Space(raw.query, tuple(parts))

    def whole(self, spaces: Mapping[str, Space]) -> ExhaustiveSearch:
        """The whole gallery for single queries."""
        views = {name: self.views[name] for name in spaces}
        return ExhaustiveSearch(spaces, views, self.gallery)
