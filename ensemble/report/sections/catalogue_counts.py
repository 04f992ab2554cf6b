"""What is counted in the catalogue, for its tables and charts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from cv.folds import gallery_photos
from ensemble.project.folder import Project


@dataclass(frozen=True)
class CatalogueCounts:
    """Counts over a project's catalogue.

    Attributes
    ----------
    project : Project
    """

    project: Project

    @cached_property
    def init(self) -> dict[str, Any]:
        """What `init` found."""
        return dict(self.project.settings.get("report") or {})

    @cached_property
    def photos(self) -> pl.DataFrame:
        """Train photos: `image, individual_id, species, fold, encounter` and whether each is a `stranger`."""
        catalogue = self.project.catalogue
        alone = gallery_photos(catalogue.labels, catalogue.folds) == 0
        return catalogue.train.select(
            "image", "individual_id", "species", "fold", "encounter", stranger=pl.Series(alone)
        )

    @cached_property
    def per_individual(self) -> pl.DataFrame:
        """`individual_id, species, photos` of every individual, most photos first; the species most photos have."""
        catalogue = self.project.catalogue
        names = np.array(catalogue.species, dtype=object)[catalogue.species_of_individual]
        counts = np.bincount(catalogue.labels, minlength=len(names))
        frame = pl.DataFrame({"individual_id": catalogue.individuals, "species": names.tolist(), "photos": counts})
        return frame.sort("photos", "individual_id", descending=[True, False])

    @cached_property
    def per_species(self) -> pl.DataFrame:
        """`species, photos, strangers, individuals, singles, most, test`, most photos first."""
        photos = self.photos.group_by("species").agg(
            photos=pl.len(), strangers=pl.col("stranger").sum(), individuals=pl.col("individual_id").n_unique()
        )
        of_each = self.per_individual.group_by("species").agg(
            singles=(pl.col("photos") == 1).sum(), most=pl.col("photos").max()
        )
        test = self.project.catalogue.test.group_by("species").agg(test=pl.len()).drop_nulls("species")
        joined = photos.join(of_each, on="species", how="left").join(test, on="species", how="left")
        return joined.sort("photos", "species", descending=[True, False])

    @cached_property
    def per_fold(self) -> pl.DataFrame:
        """`fold, photos, strangers, individuals, species`, by fold."""
        return (
            self.photos.group_by("fold")
            .agg(
                photos=pl.len(),
                strangers=pl.col("stranger").sum(),
                individuals=pl.col("individual_id").n_unique(),
                species=pl.col("species").n_unique(),
            )
            .sort("fold")
        )

    @cached_property
    def species_by_fold(self) -> pl.DataFrame:
        """`species, fold, share`: what part of a fold's photos a species makes up."""
        counts = self.photos.group_by("fold", "species").agg(photos=pl.len())
        return counts.with_columns(share=pl.col("photos") / pl.col("photos").sum().over("fold"))

    @cached_property
    def encounters(self) -> pl.DataFrame:
        """`encounter, photos, individuals, folds` of every encounter; empty where there are none."""
        return (
            self.photos.drop_nulls("encounter")
            .group_by("encounter")
            .agg(photos=pl.len(), individuals=pl.col("individual_id").n_unique(), folds=pl.col("fold").n_unique())
            .sort("folds", "photos", "encounter", descending=[True, True, False])
        )
