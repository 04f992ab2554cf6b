"""Parts: queries that share their spaces (one fold, or all test photos)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backbones.store import Store
from ensemble.cache import cached
from ensemble.operators import Operators, moved
from ensemble.project import Project
from ensemble.sources import Source
from ensemble.whitening import fit, whitened
from postproc import Gallery, Space
from postproc.rerank import Reranked
from postproc.whole import WholeGallery

# Candidates per source and view: the K nearest photos, and as many within the likeliest species. Those of all sources
# together come from a search of its own. Measured at Happywhale's size (docs/benchmarks.md): what they leave open of a
# tuned blend's MAP@5 is far below 0.001.
NEAREST = 64
NEAREST_TOGETHER = 128
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Part:
    """Queries that share their spaces.

    Attributes
    ----------
    project : Project
    name : str
    sources : mapping of name to Source
    whitening : mapping of name to {"none", "total", "within"}
    stores : mapping of source to the stores that speak for these queries
    raw : mapping of source to its Space before whitening
    contents : mapping of source to hashes of all embeddings that the source rests on
    rows : (n,) int array
        Rows of the spaces' queries.
    fold : int or None
        The queries' fold, whose photos are not in their gallery.
    settle_species : callable
        (n, n_species) votes to the shares that count: with registered and given species.
    operators : mapping of name to Operators
        What spaces and similarities go through after whitening.
    """

    project: Project
    name: str
    sources: Mapping[str, Source]
    whitening: Mapping[str, str]
    stores: Mapping[str, list[Store]]
    raw: Mapping[str, Space]
    contents: Mapping[str, list[str]]
    rows: np.ndarray
    fold: int | None
    settle_species: Callable[[np.ndarray], np.ndarray]
    operators: Mapping[str, Operators] = field(default_factory=dict)

    @property
    def views(self) -> dict[str, list[str]]:
        """View names of each source."""
        return {name: source.views for name, source in self.sources.items()}

    @property
    def nearest(self) -> int:
        """How many nearest photos of each source and view are candidates."""
        return NEAREST

    @property
    def nearest_together(self) -> int:
        """How many nearest photos of all sources together are candidates."""
        return NEAREST_TOGETHER

    @property
    def gallery(self) -> Gallery:
        """Who is on the gallery photos."""
        return Gallery(self.project.catalogue.labels, self.project.catalogue.folds)

    def made_from(self, name: str) -> list[Any]:
        """What a source's neighbours depend on."""
        kind = self.whitening.get(name, "none")
        made = [self.project.photos_hash, self.nearest, self.contents[name], self.sources[name].views, kind]
        moved_by = self.operators.get(name, Operators()).of_spaces()
        return [*made, moved_by] if moved_by else made

    def made_together(self) -> list[Any]:
        """What the neighbours by all sources together depend on."""
        return [self.nearest_together, [self.made_from(name) for name in self.sources]]

    @property
    def gallery_rows(self) -> np.ndarray:
        """Train photos that the queries meet."""
        catalogue = self.project.catalogue
        if self.fold is None:
            return np.arange(len(catalogue.labels))
        return np.flatnonzero(catalogue.folds != self.fold)

    @contextlib.contextmanager
    def spaces(self, names: list[str] | None = None) -> Iterator[dict[str, Space]]:
        """The whitened spaces, moved by operators; new arrays are as large as the embeddings and live in files."""
        labels, gallery_rows = self.project.catalogue.labels, self.gallery_rows
        self.project.cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.project.cache) as folder:
            found = {}
            for name in self.sources if names is None else names:
                kind, raw = self.whitening.get(name, "none"), self.raw[name]
                if kind != "none":
                    raw = whitened(raw, fit(raw, kind, labels, gallery_rows), Path(folder), name)
                how = self.operators.get(name)
                if how:
                    start = Path(folder) / f"{name}-moved"
                    raw = moved(raw, how, self.rows, gallery_rows, start, partial(self._keep, name))
                found[name] = raw
            yield found

    def _keep(
        self, name: str, what: str, depends_on: Any, compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> Mapping[str, np.ndarray]:
        """Neighbours by which a source's photos move, from the cache or computed."""
        raw = [self.project.photos_hash, self.contents[name], self.sources[name].views, self.whitening.get(name)]
        return cached(self.project.cache, f"{what}-{self.name}-{name}", [raw, depends_on], compute)

    def whole(
        self, spaces: Mapping[str, Space], reranked: Mapping[str, Sequence[Reranked]] | None = None
    ) -> WholeGallery:
        """The whole gallery for single queries."""
        views = {name: self.views[name] for name in spaces}
        return WholeGallery(spaces, views, self.gallery, self.fold, reranked or {})


def step(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    """What advances one bar of a progress."""
    return None if progress is None else lambda n: progress(what, n, total)
