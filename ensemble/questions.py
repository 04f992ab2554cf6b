"""Queries with everything that is needed to name them: one form for out-of-fold and for test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from backbones.store import Store
from cv.catalogue import NO_SPECIES
from cv.folds import gallery_photos
from ensemble.cache import cached
from ensemble.project import Project
from ensemble.sources import Source, fold_rows
from ensemble.species_scores import with_registered
from ensemble.whitening import fit, whitened
from postproc import (
    NEW,
    Evidence,
    Gallery,
    Neighbours,
    Space,
    build_evidence,
    given_species,
    join_evidence,
    species_doubt,
    top_k,
    vote_species,
)
from postproc.evidence import channel_table

# candidates per source and view: the K nearest photos
NEAREST = 128
# share of test photos with a given species from which on species count as given
MOSTLY = 0.5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Questions:
    """Photos to be named.

    Attributes
    ----------
    images : list of str
    evidence : Evidence
    doubt : (n, n_species) float32 array
        See `postproc.species_doubt`.
    species : (n,) int32 array
        The likeliest species.
    species_of_individual : (n_individuals,) int32 array
    truth : (n,) int32 array or None
        The right label (`NEW` for strangers), known out-of-fold only.
    gallery_photos : (n,) int array or None
        Gallery photos of the right individual, known out-of-fold only.
    catalogue_photos : (n_individuals,) int array
        Photos of each individual in the whole catalogue.
    can_hide : bool
        Whether known photos may also play the stranger, their individual hidden from the gallery. Only where no
        network was trained on this catalogue: a trained one has learnt the very individuals that would be hidden.
    """

    images: list[str]
    evidence: Evidence
    doubt: np.ndarray
    species: np.ndarray
    species_of_individual: np.ndarray
    truth: np.ndarray | None
    gallery_photos: np.ndarray | None
    catalogue_photos: np.ndarray
    can_hide: bool


def questions_out_of_fold(
    project: Project, sources: Mapping[str, Source], whitening: Mapping[str, str], progress: Progress | None = None
) -> Questions:
    """Every train photo as a query against the other folds, in a space whose network never saw its label.

    Parameters
    ----------
    project : Project
    sources : mapping of name to Source
    whitening : mapping of name to {"none", "total", "within"}
        Fitted for each fold on the other folds.
    progress : callable, optional
        Called with (what, done since the last call, total).
    """
    catalogue = project.catalogue
    rows = fold_rows(project)
    parts, votes = [], np.empty((len(catalogue.labels), len(catalogue.species)), dtype=np.float32)
    for fold, own in rows.items():
        spaces = {name: source.out_of_fold(fold) for name, source in sources.items()}
        contents = {name: source.out_of_fold_contents() for name, source in sources.items()}
        stores = {name: [source.out_of_fold_store(fold)] for name, source in sources.items()}
        part = _Part(f"fold{fold}", spaces, stores, contents, own, fold)
        evidence, voted = _evidence(project, sources, whitening, part, progress)
        votes[own] = with_registered(voted, stores, "train", own, catalogue)
        parts.append(evidence)
    if (_species_index(catalogue.test, catalogue.species) >= 0).mean() > MOSTLY:
        # test photos come with their species, so out-of-fold photos do too: what is tuned meets what it was tuned for
        votes = given_species(_species_index(catalogue.train, catalogue.species), votes)
    have = gallery_photos(catalogue.labels, catalogue.folds)
    return _questions(
        project,
        join_evidence(parts, list(rows.values())),
        votes,
        catalogue.train["image"].to_list(),
        truth=np.where(have == 0, NEW, catalogue.labels).astype(np.int32),
        have=have,
        can_hide=all(source.frozen is not None for source in sources.values()),
    )


def questions_for_test(
    project: Project,
    sources: Mapping[str, Source],
    whitening: Mapping[str, str],
    use: str = "folds",
    progress: Progress | None = None,
) -> Questions:
    """Every test photo as a query against all train photos; parameters as `questions_out_of_fold`."""
    catalogue = project.catalogue
    contents = {name: [s.manifest.content_sha256 for s in source.test_stores(use)] for name, source in sources.items()}
    spaces = {name: source.test(use) for name, source in sources.items()}
    stores = {name: source.test_stores(use) for name, source in sources.items()}
    part = _Part("test", spaces, stores, contents, np.arange(catalogue.test.height), None)
    evidence, votes = _evidence(project, sources, whitening, part, progress)
    votes = with_registered(votes, stores, "test", part.rows, catalogue)
    votes = given_species(_species_index(catalogue.test, catalogue.species), votes)
    images = catalogue.test["image"].to_list()
    return _questions(project, evidence, votes, images, truth=None, have=None, can_hide=False)


def _species_index(photos: pl.DataFrame, species: list[str]) -> np.ndarray:
    """Index of each photo's species as the tables give it; -1 where they give none."""
    index = {name: i for i, name in enumerate(species) if name != NO_SPECIES}
    return np.array([index.get(name, -1) for name in photos["species"]], dtype=np.int32)


@dataclass(frozen=True)
class _Part:
    """Queries that share their spaces: one fold, or all test photos."""

    name: str
    spaces: Mapping[str, Space]
    stores: Mapping[str, list[Store]]
    contents: Mapping[str, list[str]]
    rows: np.ndarray
    fold: int | None


def _evidence(
    project: Project,
    sources: Mapping[str, Source],
    whitening: Mapping[str, str],
    part: _Part,
    progress: Progress | None,
) -> tuple[Evidence, np.ndarray]:
    """Evidence and species votes of one part, from the cache or computed."""
    catalogue = project.catalogue
    views = {name: source.views for name, source in sources.items()}
    made_from = {
        name: [project.photos_hash, NEAREST, part.contents[name], views[name], whitening.get(name, "none")]
        for name in sources
    }

    def compute() -> dict[str, np.ndarray]:
        for store in {store.folder: store for own in part.stores.values() for store in own}.values():
            store.check_files()
        with tempfile.TemporaryDirectory(dir=project.cache) as folder:
            spaces, nearest = {}, {}
            rows = (
                np.flatnonzero(catalogue.folds != part.fold)
                if part.fold is not None
                else np.arange(len(catalogue.labels))
            )
            for name, raw in part.spaces.items():
                space = raw
                kind = whitening.get(name, "none")
                if kind != "none":
                    space = whitened(raw, fit(raw, kind, catalogue.labels, rows), Path(folder), name)
                spaces[name] = space

                def search(space: Space = space) -> dict[str, np.ndarray]:
                    return _search(space, part, catalogue.folds, _step(progress, f"search {part.name}", len(sources)))

                entry = cached(project.cache, f"nearest-{part.name}-{name}", made_from[name], search)
                nearest[name] = [
                    Neighbours(entry[f"index{v}"], entry[f"similarity{v}"]) for v in range(len(views[name]))
                ]
            gallery = Gallery(catalogue.labels, catalogue.folds)
            advance = _step(progress, f"evidence {part.name}", len(channel_table(views)[1]))
            evidence = build_evidence(spaces, views, nearest, gallery, part.rows, part.fold, advance)
            of_photo = catalogue.species_of_individual[catalogue.labels]
            lists = [near for each in nearest.values() for near in each]
            return {**evidence.arrays(), "votes": vote_species(lists, of_photo, len(catalogue.species))}

    project.cache.mkdir(exist_ok=True)
    arrays = cached(project.cache, f"evidence-{part.name}", list(made_from.items()), compute)
    votes = arrays.pop("votes")
    return Evidence(tuple(sources), **arrays), np.array(votes)


def _search(
    space: Space, part: _Part, folds: np.ndarray, progress: Callable[[int], None] | None
) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    own_group = gallery_group = None
    if part.fold is not None:
        own_group, gallery_group = folds, folds
    for v in range(space.n_views):
        near = top_k(space, NEAREST, view=v, query_rows=part.rows, query_group=own_group, gallery_group=gallery_group)
        out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
    if progress is not None:
        progress(1)
    return out


def _questions(
    project: Project,
    evidence: Evidence,
    votes: np.ndarray,
    images: list[str],
    *,
    truth: np.ndarray | None,
    have: np.ndarray | None,
    can_hide: bool,
) -> Questions:
    catalogue = project.catalogue
    return Questions(
        images=images,
        evidence=evidence,
        doubt=species_doubt(votes),
        species=votes.argmax(axis=1).astype(np.int32),
        species_of_individual=catalogue.species_of_individual,
        truth=truth,
        gallery_photos=have,
        catalogue_photos=np.bincount(catalogue.labels, minlength=len(catalogue.individuals)),
        can_hide=can_hide,
    )


def _step(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda n: progress(what, n, total)
