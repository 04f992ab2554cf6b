"""Parts: queries that share their spaces (one fold, or all test photos), their evidence, cached and extended."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.store import Store
from cv.catalogue import Catalogue
from ensemble.cache import cached, entries
from ensemble.project import Project
from ensemble.sources import Source
from ensemble.whitening import fit, whitened
from postproc import Evidence, Gallery, Neighbours, Space, build_evidence, top_k, vote_species
from postproc.channels import channel_table
from postproc.evidence import Joint
from postproc.prune import prune
from postproc.species import species_doubt
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

    @property
    def views(self) -> dict[str, list[str]]:
        """View names of each source."""
        return {name: source.views for name, source in self.sources.items()}

    @property
    def gallery(self) -> Gallery:
        """Who is on the gallery photos."""
        return Gallery(self.project.catalogue.labels, self.project.catalogue.folds)

    def made_from(self, name: str) -> list[Any]:
        """What a source's neighbours depend on."""
        kind = self.whitening.get(name, "none")
        return [self.project.photos_hash, NEAREST, self.contents[name], self.sources[name].views, kind]

    def made_together(self) -> list[Any]:
        """What the neighbours by all sources together depend on."""
        return [NEAREST_TOGETHER, [self.made_from(name) for name in self.sources]]

    @contextlib.contextmanager
    def spaces(self, names: list[str] | None = None) -> Iterator[dict[str, Space]]:
        """The whitened spaces; mapped arrays are as large as the embeddings and live in files while this is open."""
        catalogue = self.project.catalogue
        gallery_rows = np.arange(len(catalogue.labels))
        if self.fold is not None:
            gallery_rows = np.flatnonzero(catalogue.folds != self.fold)
        self.project.cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.project.cache) as folder:
            found = {}
            for name in self.sources if names is None else names:
                kind, raw = self.whitening.get(name, "none"), self.raw[name]
                if kind != "none":
                    raw = whitened(raw, fit(raw, kind, catalogue.labels, gallery_rows), Path(folder), name)
                found[name] = raw
            yield found

    def whole(self, spaces: Mapping[str, Space]) -> WholeGallery:
        """The whole gallery for single queries."""
        return WholeGallery(spaces, {name: self.views[name] for name in spaces}, self.gallery, self.fold)


def part_evidence(part: Part, progress: Progress | None) -> tuple[Evidence, np.ndarray]:
    """Pruned evidence and species shares of one part, from the cache or computed.

    Evidence is kept whole, too, so that a further model is compared on what is new only.
    """
    part.project.cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        opened: list[dict[str, Space]] = []

        def spaces() -> dict[str, Space]:
            if not opened:
                for store in {store.folder: store for own in part.stores.values() for store in own}.values():
                    store.check_files()
                opened.append(stack.enter_context(part.spaces()))
            return opened[0]

        return _evidence(part, spaces, progress)


def _evidence(
    part: Part, spaces: Callable[[], dict[str, Space]], progress: Progress | None
) -> tuple[Evidence, np.ndarray]:
    project, catalogue = part.project, part.project.catalogue
    votes = cached(
        project.cache,
        f"votes-{part.name}",
        [[name, part.made_from(name)] for name in part.sources],
        lambda: {"votes": _votes(_nearest(part, spaces, progress), catalogue)},
    )["votes"]
    shares = part.settle_species(np.array(votes))
    likely = shares.argmax(axis=1).astype(np.int32)
    decided = [hashlib.sha256(likely.tobytes()).hexdigest(), hashlib.sha256(shares.tobytes()).hexdigest()]
    made_from = {name: [part.made_from(name), NEAREST_TOGETHER, decided[0]] for name in part.sources}

    def whole() -> dict[str, np.ndarray]:
        return _whole_evidence(part, spaces, likely, progress)

    def pruned() -> dict[str, np.ndarray]:
        arrays = cached(project.cache, f"evidence-{part.name}", list(made_from.items()), whole, _described(part))
        evidence = Evidence(tuple(part.sources), **arrays)
        return prune(evidence, species_doubt(shares), catalogue.species_of_individual).arrays()

    arrays = cached(project.cache, f"pruned-{part.name}", [list(made_from.items()), decided[1]], pruned)
    return Evidence(tuple(part.sources), **arrays), shares


def _votes(nearest: Mapping[str, list[Neighbours]], catalogue: Catalogue) -> np.ndarray:
    of_photo = catalogue.species_of_individual[catalogue.labels]
    return vote_species([near for each in nearest.values() for near in each], of_photo, len(catalogue.species))


def _whole_evidence(
    part: Part, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> dict[str, np.ndarray]:
    of_species = None
    if len(part.project.catalogue.species) > 1:
        of_species = _nearest_of_species(part, spaces, likely, progress)
    evidence = build_evidence(
        spaces(),
        part.views,
        _nearest(part, spaces, progress),
        part.gallery,
        part.rows,
        part.fold,
        of_species=of_species,
        joint=_joint(part, spaces, likely, progress),
        known=_known(part),
        progress=_step(progress, f"evidence {part.name}", len(channel_table(part.views)[1])),
    )
    return evidence.arrays()


def _described(part: Part) -> dict[str, Any]:
    """What an entry of evidence says about itself, so that a later one can build on it."""
    return {"sources": {name: part.made_from(name) for name in part.sources}}


def _known(part: Part) -> Evidence | None:
    """Evidence of the same queries in the cache whose sources, or most of them, are still the same."""
    best: Evidence | None = None
    for about, arrays in entries(part.project.cache, f"evidence-{part.name}"):
        sources = about.get("sources", {})
        same = all(name in part.sources and part.made_from(name) == made for name, made in sources.items())
        if same and sources and (best is None or len(sources) > len(best.sources)):
            best = Evidence(tuple(sources), **arrays)
    return best


def _nearest(
    part: Part, spaces: Callable[[], dict[str, Space]], progress: Progress | None
) -> dict[str, list[Neighbours]]:
    folds = part.project.catalogue.folds
    own_group = None if part.fold is None else folds
    found = {}
    for name in part.sources:

        def search(name: str = name) -> dict[str, np.ndarray]:
            advance = _step(progress, f"search {part.name}", len(part.sources))
            out: dict[str, np.ndarray] = {}
            for v in range(len(part.views[name])):
                near = top_k(
                    spaces()[name],
                    NEAREST,
                    view=v,
                    query_rows=part.rows,
                    query_group=own_group,
                    gallery_group=None if own_group is None else folds,
                )
                out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
            if advance is not None:
                advance(1)
            return out

        entry = cached(part.project.cache, f"nearest-{part.name}-{name}", part.made_from(name), search)
        found[name] = _lists(entry, len(part.views[name]))
    return found


def _nearest_of_species(
    part: Part, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> dict[str, list[Neighbours]]:
    """The nearest photos of each query's likeliest species; queries whose species stays are not searched again."""
    catalogue = part.project.catalogue
    of_photo = catalogue.species_of_individual[catalogue.labels]
    found = {}
    for name in part.sources:
        entry_name = f"kin-{part.name}-{name}"

        def search(name: str = name, entry_name: str = entry_name) -> dict[str, np.ndarray]:
            n_views = len(part.views[name])
            out: dict[str, np.ndarray] = {"species": likely}
            todo = np.arange(len(likely))
            for about, old in entries(part.project.cache, entry_name):
                if about.get("made_from") == part.made_from(name):
                    todo = np.flatnonzero(old["species"] != likely)
                    out |= {key: np.array(array) for key, array in old.items() if key != "species"}
            advance = _step(progress, f"search kin {part.name}", len(part.sources))
            for v in range(n_views):
                near = _search_kin(part, spaces()[name], v, todo, likely, of_photo, NEAREST)
                if len(todo) == len(likely):
                    out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
                else:
                    out[f"index{v}"][todo], out[f"similarity{v}"][todo] = near.index, near.similarity
            if advance is not None:
                advance(1)
            return out

        key = [part.made_from(name), hashlib.sha256(likely.tobytes()).hexdigest()]
        entry = cached(part.project.cache, entry_name, key, search, {"made_from": part.made_from(name)})
        found[name] = _lists(entry, len(part.views[name]))
    return found


def _search_kin(
    part: Part,
    space: Space,
    view: int,
    todo: np.ndarray,
    likely: np.ndarray,
    of_photo: np.ndarray,
    nearest: int,
) -> Neighbours:
    query_class = np.zeros(space.n_query, dtype=np.int32)
    query_class[part.rows] = likely
    folds = None if part.fold is None else part.project.catalogue.folds
    return top_k(
        space,
        nearest,
        view=view,
        query_rows=part.rows[todo],
        query_group=folds,
        gallery_group=folds,
        query_class=query_class,
        gallery_class=of_photo,
    )


def _joint(
    part: Part, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> Joint | None:
    """The nearest photos by all sources together: one space whose parts are those of all sources."""
    if len(part.sources) < 2 or any(len(views) > 1 for views in part.views.values()):
        return None
    catalogue = part.project.catalogue
    of_photo = catalogue.species_of_individual[catalogue.labels]
    folds = None if part.fold is None else catalogue.folds

    def search() -> dict[str, np.ndarray]:
        every = spaces().values()
        space = Space(
            tuple(own for one in every for own in one.query), tuple(own for one in every for own in one.gallery)
        )
        near = top_k(space, NEAREST_TOGETHER, query_rows=part.rows, query_group=folds, gallery_group=folds)
        kin = near
        if len(catalogue.species) > 1:
            everybody = np.arange(len(likely))
            kin = _search_kin(part, space, 0, everybody, likely, of_photo, NEAREST_TOGETHER)
        if progress is not None:
            progress(f"search together {part.name}", 1, 1)
        return {
            "index": near.index,
            "similarity": near.similarity,
            "kin_index": kin.index,
            "kin_similarity": kin.similarity,
            # a mean over parts: a model with five of them counts five times
            "weights": np.array([len(one.query) for one in every]) / len(space.query),
        }

    key = [part.made_together(), hashlib.sha256(likely.tobytes()).hexdigest()]
    found = cached(part.project.cache, f"together-{part.name}", key, search)
    return Joint(
        np.array(found["weights"]),
        Neighbours(found["index"], found["similarity"]),
        Neighbours(found["kin_index"], found["kin_similarity"]),
    )


def _lists(entry: Mapping[str, np.ndarray], n_views: int) -> list[Neighbours]:
    return [Neighbours(entry[f"index{v}"], entry[f"similarity{v}"]) for v in range(n_views)]


def _step(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda n: progress(what, n, total)
