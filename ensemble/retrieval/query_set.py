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
from ensemble.project.pseudo_rounds import GalleryAdditions, gallery_of
from ensemble.registry.models import Model
from ensemble.registry.predicted_species import with_predicted_species
from ensemble.retrieval.evidence import task_evidence
from ensemble.retrieval.operators import Operators
from ensemble.retrieval.reciprocal import reranked
from ensemble.retrieval.task import RetrievalTask
from postproc import NEW, Evidence, Ranking, given_species, join_evidence, species_doubt
from postproc.ranking.rank import Species

# share of test photos with a given species from which on species count as given
MOSTLY = 0.5
# ends the name of parts with a gallery that is only tried
SUPPOSED = "supposed"


@dataclass(frozen=True)
class QuerySet:
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
    tasks: list[RetrievalTask]

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
        models = list(self.evidence.sources)
        views = self.tasks[0].views
        # a source without weight still has a say in which views all are compared in
        used = [n for n, name in enumerate(models) if weights[:, n].any() or len(views[name]) > 1]
        found: list[Ranking] = []
        places: list[np.ndarray] = []
        for task in self.tasks:
            # out-of-fold the questions are the train photos, and in test there is one part
            inside = np.flatnonzero(np.isin(rows, task.rows))
            if not len(inside):
                continue
            own = rows[inside]
            with task.spaces([models[n] for n in used]) as spaces:
                species = Species(self.species.doubt[own], self.species.of_individual, self.species.likely[own])
                found.append(
                    task.whole(spaces, reranked(task, lambda: spaces, None, list(spaces))).rank(
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


def queries_out_of_fold(
    project: Project,
    models: Mapping[str, Model],
    whitening: Mapping[str, str],
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    supposed: GalleryAdditions | None = None,
) -> QuerySet:
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
    supposed : GalleryAdditions, optional
        Test photos to be in the gallery instead of those that are merged.
    """
    catalogue = project.catalogue
    named = gallery_of(project) if supposed is None else supposed
    given = np.full(len(catalogue.labels), -1, dtype=np.int32)
    if (_species_index(catalogue.test, catalogue.species) >= 0).mean() > MOSTLY:
        # test photos come with their species, so out-of-fold photos do too: what is tuned meets what it was tuned for
        given = _species_index(catalogue.train, catalogue.species)
    tasks = []
    for fold, own in catalogue.rows_by_fold.items():
        stores = {name: [model.out_of_fold_store(fold)] for name, model in models.items()}
        tasks.append(
            RetrievalTask(
                project,
                f"fold{fold}" if supposed is None else f"fold{fold}{SUPPOSED}",
                models,
                whitening,
                stores,
                {name: model.out_of_fold(fold) for name, model in models.items()},
                {name: model.out_of_fold_contents() for name, model in models.items()},
                own,
                fold,
                named.sets.get(f"fold-{fold}"),
                lambda votes, stores=stores, own=own: given_species(  # type: ignore[misc]
                    given[own], with_predicted_species(votes, stores, "train", own, project)
                ),
                operators or {},
            )
        )
    have = gallery_photos(catalogue.labels, catalogue.folds)
    return _questions(
        project,
        tasks,
        catalogue.train_images,
        truth=np.where(have == 0, NEW, catalogue.labels).astype(np.int32),
        have=have,
        can_hide=all(model.frozen is not None for model in models.values()),
        progress=progress,
    )


def queries_of_test(
    project: Project,
    models: Mapping[str, Model],
    whitening: Mapping[str, str],
    use: str = "folds",
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    without: int | None = None,
) -> QuerySet:
    """Every test photo as a query against all train photos; parameters as `queries_out_of_fold`.

    With `without`, a fold, as if its labels were not there: its photos are in no gallery, and only spaces whose
    network never saw them are compared in.
    """
    catalogue = project.catalogue
    rows = np.arange(catalogue.test.height)
    given = _species_index(catalogue.test, catalogue.species)
    if without is None:
        name, stores = "test", {name: model.test_stores(use) for name, model in models.items()}
        raw = {name: model.test(use) for name, model in models.items()}
    else:
        name, stores = f"without{without}", {name: [s.out_of_fold_store(without)] for name, s in models.items()}
        raw = {name: model.unseen(without) for name, model in models.items()}
    task = RetrievalTask(
        project,
        name,
        models,
        whitening,
        stores,
        raw,
        {name: [s.manifest.content_sha256 for s in own] for name, own in stores.items()},
        rows,
        without,
        gallery_of(project).sets.get("full" if without is None else f"fold-{without}"),
        lambda votes: given_species(given, with_predicted_species(votes, stores, "test", rows, project)),
        operators or {},
    )
    return _questions(project, [task], catalogue.test_images, truth=None, have=None, can_hide=False, progress=progress)


def _species_index(photos: pl.DataFrame, species: list[str]) -> np.ndarray:
    """Index of each photo's species as the tables give it; -1 where they give none."""
    index = {name: i for i, name in enumerate(species) if name != NO_SPECIES}
    return np.array([index.get(name, -1) for name in photos["species"]], dtype=np.int32)


def _questions(
    project: Project,
    tasks: list[RetrievalTask],
    images: list[str],
    *,
    truth: np.ndarray | None,
    have: np.ndarray | None,
    can_hide: bool,
    progress: Progress | None,
) -> QuerySet:
    catalogue = project.catalogue
    found = [task_evidence(task, progress) for task in tasks]
    shares = np.empty((len(images), len(catalogue.species)), dtype=np.float32)
    for task, (_, own) in zip(tasks, found, strict=True):
        shares[task.rows] = own
    likely = shares.argmax(axis=1).astype(np.int32)
    return QuerySet(
        images=images,
        evidence=join_evidence([evidence for evidence, _ in found], [task.rows for task in tasks]),
        species=Species(species_doubt(shares), catalogue.species_of_individual, likely),
        species_names=catalogue.species,
        truth=truth,
        gallery_photos=have,
        catalogue_photos=np.bincount(catalogue.labels, minlength=len(catalogue.individuals)),
        can_hide=can_hide,
        tasks=tasks,
    )
