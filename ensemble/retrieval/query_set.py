"""Queries with everything that is needed to name them: one form for out-of-fold and for test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from cv.catalogue import NO_SPECIES
from cv.folds import gallery_photos
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import NamedGallery, gallery_of
from ensemble.registry.models import Source, fold_rows
from ensemble.registry.predicted_species import with_registered
from ensemble.retrieval.evidence import part_evidence
from ensemble.retrieval.operators import Operators
from ensemble.retrieval.reciprocal import reranked
from ensemble.retrieval.task import Part
from postproc import NEW, Evidence, Ranking, given_species, join_evidence, species_doubt
from postproc.ranking.rank import Species

# share of test photos with a given species from which on species count as given
MOSTLY = 0.5
# ends the name of parts with a gallery that is only tried
SUPPOSED = "supposed"


@dataclass(frozen=True)
class Questions:
    """Photos to be named.

    Attributes
    ----------
    images : list of str
    evidence : Evidence
    species : Species
    species_names : list of str
    truth : (n,) int32 array or None
        The right label (`NEW` for strangers), known out-of-fold only.
    gallery_photos : (n,) int array or None
        Gallery photos of the right individual, known out-of-fold only.
    catalogue_photos : (n_individuals,) int array
        Photos of each individual in the whole catalogue.
    can_hide : bool
        Whether known photos may also play the stranger, their individual hidden from the gallery. Only where no
        network was trained on this catalogue: a trained one has learnt the very individuals that would be hidden.
    parts : list of Part
        Where single questions can be compared with the whole gallery.
    """

    images: list[str]
    evidence: Evidence
    species: Species
    species_names: list[str]
    truth: np.ndarray | None
    gallery_photos: np.ndarray | None
    catalogue_photos: np.ndarray
    can_hide: bool
    parts: list[Part]

    def over_whole_gallery(
        self,
        rows: np.ndarray,
        weights: np.ndarray,
        *,
        top_photos: int,
        species_penalty: float,
        progress: Progress | None = None,
    ) -> Ranking:
        """Rank some questions among all individuals of their gallery.

        Parameters
        ----------
        rows : (m,) int array
            Which questions.
        weights : (m, sources) float array
            Each question's own.
        top_photos, species_penalty
            As of `postproc.rank`.
        progress : callable, optional
        """
        sources = list(self.evidence.sources)
        views = self.parts[0].views
        # a source without weight still has a say in which views all are compared in
        used = [n for n, name in enumerate(sources) if weights[:, n].any() or len(views[name]) > 1]
        found: list[Ranking] = []
        places: list[np.ndarray] = []
        for part in self.parts:
            # out-of-fold the questions are the train photos, and in test there is one part
            inside = np.flatnonzero(np.isin(rows, part.rows))
            if not len(inside):
                continue
            own = rows[inside]
            with part.spaces([sources[n] for n in used]) as spaces:
                species = Species(self.species.doubt[own], self.species.of_individual, self.species.likely[own])
                found.append(
                    part.whole(spaces, reranked(part, lambda: spaces, None, list(spaces))).rank(
                        own,
                        weights[inside][:, used],
                        top_photos=top_photos,
                        species_penalty=species_penalty,
                        species=species,
                        progress=None if progress is None else lambda n: progress("whole gallery", n, len(rows)),
                    )
                )
            places.append(inside)
        order = np.argsort(np.concatenate(places))
        return Ranking(*(np.concatenate([getattr(r, a) for r in found])[order] for a in Ranking.__dataclass_fields__))


def questions_out_of_fold(
    project: Project,
    sources: Mapping[str, Source],
    whitening: Mapping[str, str],
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    supposed: NamedGallery | None = None,
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
    operators : mapping of name to Operators, optional
        None by default.
    supposed : NamedGallery, optional
        Test photos to be in the gallery instead of those that are merged.
    """
    catalogue = project.catalogue
    named = gallery_of(project) if supposed is None else supposed
    given = np.full(len(catalogue.labels), -1, dtype=np.int32)
    if (_species_index(catalogue.test, catalogue.species) >= 0).mean() > MOSTLY:
        # test photos come with their species, so out-of-fold photos do too: what is tuned meets what it was tuned for
        given = _species_index(catalogue.train, catalogue.species)
    parts = []
    for fold, own in fold_rows(project).items():
        stores = {name: [source.out_of_fold_store(fold)] for name, source in sources.items()}
        parts.append(
            Part(
                project,
                f"fold{fold}" if supposed is None else f"fold{fold}{SUPPOSED}",
                sources,
                whitening,
                stores,
                {name: source.out_of_fold(fold) for name, source in sources.items()},
                {name: source.out_of_fold_contents() for name, source in sources.items()},
                own,
                fold,
                named.sets.get(f"fold-{fold}"),
                lambda votes, stores=stores, own=own: given_species(  # type: ignore[misc]
                    given[own], with_registered(votes, stores, "train", own, catalogue)
                ),
                operators or {},
            )
        )
    have = gallery_photos(catalogue.labels, catalogue.folds)
    return _questions(
        project,
        parts,
        catalogue.train["image"].to_list(),
        truth=np.where(have == 0, NEW, catalogue.labels).astype(np.int32),
        have=have,
        can_hide=all(source.frozen is not None for source in sources.values()),
        progress=progress,
    )


def questions_for_test(
    project: Project,
    sources: Mapping[str, Source],
    whitening: Mapping[str, str],
    use: str = "folds",
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    without: int | None = None,
) -> Questions:
    """Every test photo as a query against all train photos; parameters as `questions_out_of_fold`.

    With `without`, a fold, as if its labels were not there: its photos are in no gallery, and only spaces whose
    network never saw them are compared in.
    """
    catalogue = project.catalogue
    rows = np.arange(catalogue.test.height)
    given = _species_index(catalogue.test, catalogue.species)
    if without is None:
        name, stores = "test", {name: source.test_stores(use) for name, source in sources.items()}
        raw = {name: source.test(use) for name, source in sources.items()}
    else:
        name, stores = f"without{without}", {name: [s.out_of_fold_store(without)] for name, s in sources.items()}
        raw = {name: source.unseen(without) for name, source in sources.items()}
    part = Part(
        project,
        name,
        sources,
        whitening,
        stores,
        raw,
        {name: [s.manifest.content_sha256 for s in own] for name, own in stores.items()},
        rows,
        without,
        gallery_of(project).sets.get("full" if without is None else f"fold-{without}"),
        lambda votes: given_species(given, with_registered(votes, stores, "test", rows, catalogue)),
        operators or {},
    )
    images = catalogue.test["image"].to_list()
    return _questions(project, [part], images, truth=None, have=None, can_hide=False, progress=progress)


def _species_index(photos: pl.DataFrame, species: list[str]) -> np.ndarray:
    """Index of each photo's species as the tables give it; -1 where they give none."""
    index = {name: i for i, name in enumerate(species) if name != NO_SPECIES}
    return np.array([index.get(name, -1) for name in photos["species"]], dtype=np.int32)


def _questions(
    project: Project,
    parts: list[Part],
    images: list[str],
    *,
    truth: np.ndarray | None,
    have: np.ndarray | None,
    can_hide: bool,
    progress: Progress | None,
) -> Questions:
    catalogue = project.catalogue
    found = [part_evidence(part, progress) for part in parts]
    shares = np.empty((len(images), len(catalogue.species)), dtype=np.float32)
    for part, (_, own) in zip(parts, found, strict=True):
        shares[part.rows] = own
    likely = shares.argmax(axis=1).astype(np.int32)
    return Questions(
        images=images,
        evidence=join_evidence([evidence for evidence, _ in found], [part.rows for part in parts]),
        species=Species(species_doubt(shares), catalogue.species_of_individual, likely),
        species_names=catalogue.species,
        truth=truth,
        gallery_photos=have,
        catalogue_photos=np.bincount(catalogue.labels, minlength=len(catalogue.individuals)),
        can_hide=can_hide,
        parts=parts,
    )
