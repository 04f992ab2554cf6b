"""Queries with everything that is needed to name them: one form for out-of-fold and for test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cv.catalogue import Catalogue
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.retrieval.task import RetrievalTask
from postproc import Evidence, Ranking
from postproc.ranking.rank import Species
from postproc.ranking.ranking import DEPTH


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """Photos to be named.

    Attributes
    ----------
    images : list of str
    evidence : Evidence
    species : Species
    species_names : list of str
    tasks : list of RetrievalTask
        Where single queries can be compared with the whole gallery: one a fold, or one for test.
    completing : callable
        Gives the evidence further photos.
    """

    images: list[str]
    evidence: Evidence
    species: Species
    species_names: list[str]
    tasks: list[RetrievalTask]
    completing: Callable[[Evidence], Evidence]

    @cached_property
    def _complete(self) -> Evidence:
        return self.completing(self.evidence)

    def evidence_for(self, top_photos: int) -> Evidence:
        """The evidence that a mean of so many photos needs: further ones cost time, so they wait to be asked for."""
        return self.evidence if top_photos == 1 else self._complete

    @property
    def project(self) -> Project:
        """The project they are of."""
        return self.tasks[0].project

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""
        return self.project.catalogue

    def photos_met(self, rows: np.ndarray, individual: np.ndarray) -> np.ndarray:
        """(n, places) gallery photos of individuals that some queries meet, themselves left out."""
        out = np.empty(individual.shape, dtype=np.int64)
        for task in self.tasks:
            inside = np.isin(rows, task.rows)
            out[inside] = task.gallery.photos_met(rows[inside], individual[inside])
        return out

    @property
    def pair_columns(self) -> list[str]:
        """Names of the columns of `evidence.pairs`: a pair source's score, and its second number."""
        return [column for name in self.tasks[0].pair_stores for column in (name, f"{name}/second")]

    @property
    def species_shares(self) -> np.ndarray:
        """(n_species,) share of the photos that are likeliest of each species."""
        return np.bincount(self.species.likely, minlength=self.species.mismatch.shape[1]) / len(self.images)

    def lists(self, ranking: Ranking, background: float) -> Ranking:
        """Rankings of five against their background, to be decided on, from what a blend ranks."""
        return ranking.first(DEPTH - 1).against_background(background)

    def over_whole_gallery(
        self,
        rows: np.ndarray,
        weights: np.ndarray,
        *,
        top_photos: int,
        species_penalty: float,
        progress: Progress | None = None,
    ) -> Ranking:
        """Rank some queries among all individuals of their gallery.

        Parameters
        ----------
        rows : (m,) int array
            Which queries.
        weights : (m, models) float array
            Each query's own.
        top_photos, species_penalty
            As of `postproc.rank`.
        progress : callable, optional
        """
        models = list(self.evidence.sources)
        views = self.tasks[0].views
        # a model without weight still has a say in which views all are compared in
        used = [n for n, name in enumerate(models) if weights[:, n].any() or len(views[name]) > 1]
        rankings: list[Ranking] = []
        positions: list[np.ndarray] = []
        for task in self.tasks:
            # out-of-fold the queries are the train photos, and in test there is one task
            inside = np.flatnonzero(np.isin(rows, task.rows))
            if not len(inside):
                continue
            queries = rows[inside]
            with task.spaces([models[n] for n in used]) as spaces:
                species = Species(
                    self.species.mismatch[queries], self.species.of_individual, self.species.likely[queries]
                )
                rankings.append(
                    task.whole(spaces).rank(
                        queries,
                        weights[inside][:, used],
                        top_photos=top_photos,
                        species_penalty=species_penalty,
                        species=species,
                        progress=None if progress is None else lambda n: progress("whole gallery", n, len(rows)),
                    )
                )
            positions.append(inside)
        order = np.argsort(np.concatenate(positions))
        fields = Ranking.__dataclass_fields__
        return Ranking(*(np.concatenate([getattr(ranking, name) for ranking in rankings])[order] for name in fields))


@dataclass(frozen=True, kw_only=True)
class LabelledQuerySet(QuerySet):
    """Out-of-fold photos: their right answers are known.

    Attributes
    ----------
    truth : (n,) int32 array
        The right label, `NEW` for strangers.
    gallery_photos : (n,) int array
        Gallery photos of the right individual.
    leave_out : {"encounter", "fold"}
        What of the catalogue each photo does not meet, see `cv.left_out`.
    catalogue_photos : (n_individuals,) int array
        Photos of each individual in the whole catalogue.
    can_hide : bool
        Whether known photos may also play the stranger, their individual hidden from the gallery. Only where no
        network was trained on this catalogue: a trained one has learnt the very individuals that would be hidden.
    """

    truth: np.ndarray
    gallery_photos: np.ndarray
    leave_out: str
    catalogue_photos: np.ndarray
    can_hide: bool
