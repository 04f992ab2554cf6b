"""The retriever: models in their whitened spaces, and one gallery, that queries of any split are asked in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from backbones.pair_store import PairStore
from cv.catalogue import NO_SPECIES, Catalogue
from cv.folds import gallery_photos
from cv.left_out import FOLD
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import GalleryAdditions
from ensemble.registry.left_out import groups_of
from ensemble.registry.models import Model
from ensemble.registry.predicted_species import with_predicted_species
from ensemble.retrieval.evidence import completed, gathered, joined
from ensemble.retrieval.query_set import LabelledQuerySet, QuerySet
from ensemble.retrieval.task import RetrievalTask
from postproc import NEW, given_species, species_mismatch
from postproc.neighbours.approximate import EXACT
from postproc.ranking.rank import Species

# share of test photos with a given species from which on species count as given
MOSTLY = 0.5
# ends the name of tasks with a gallery that is only tried
TRIED = "supposed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Retriever:
    """What queries are compared in. Everything is read once: asked again, the same query sets are given.

    Attributes
    ----------
    project : Project
    models : mapping of name to Model
    whitening : mapping of name to {"none", "total", "within"}
        Out-of-fold fitted for each fold on the other folds.
    leave_out : {"encounter", "fold"}
        What of the catalogue a train photo does not meet, see `cv.left_out`.
    gallery : GalleryAdditions
        Named test photos that are in the gallery.
    is_tried : bool
        Whether that gallery is only tried: what it gives stands apart in the cache.
    pair_stores : mapping of str to PairStore
        Pair sources that there are.
    pairs : tuple of str
        Those that are in use.
    neighbours : {"exact", "approximate"}
        How lists are searched (`postproc.neighbours.lists`).
    progress : callable or None
        Called with (what, done since the last call, total).
    engine : Engine
        Where neighbours are searched.
    """

    project: Project
    models: Mapping[str, Model]
    whitening: Mapping[str, str]
    leave_out: str
    gallery: GalleryAdditions
    is_tried: bool = False
    pair_stores: Mapping[str, PairStore] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    neighbours: str = EXACT
    progress: Progress | None = None
    engine: Engine = HERE
    _asked: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def out_of_fold(self) -> LabelledQuerySet:
        """Every train photo as a query against all but its group, in a space whose network never saw its label."""
        if "train" not in self._asked:
            self._asked["train"] = self._out_of_fold()
        asked: LabelledQuerySet = self._asked["train"]
        return asked

    def of_test(self, use: str = "folds") -> QuerySet:
        """Every test photo as a query against all train photos; `use` as of `Model.test_stores`."""
        if use not in self._asked:
            self._asked[use] = self._query_set([self._test_task(use)], self.project.catalogue.test_images)
        asked: QuerySet = self._asked[use]
        return asked

    def of_test_without(self, fold: int) -> QuerySet:
        """Test photos as if a fold were not there: none of its photos is met, in spaces that never saw its labels."""
        stores = {name: [model.out_of_fold_store(fold)] for name, model in self.models.items()}
        task = self._task(
            name=f"without{fold}",
            split="test",
            stores=stores,
            raw={name: model.unseen(fold) for name, model in self.models.items()},
            contents={name: [store.manifest.content_sha256 for store in own] for name, own in stores.items()},
            rows=np.arange(self.project.catalogue.test.height),
            fold=fold,
            groups=self.project.catalogue.folds,
            query_groups=np.full(self.project.catalogue.test.height, fold, dtype=np.int32),
            seen=f"fold-{fold}",
        )
        return self._query_set([task], self.project.catalogue.test_images)

    def _out_of_fold(self) -> LabelledQuerySet:
        catalogue, groups = self.project.catalogue, groups_of(self.project, self.leave_out)
        # evidence of both rules may lie in the cache, so that they can be compared
        rule = "" if self.leave_out == FOLD else f"-{self.leave_out}"
        tasks = [
            self._task(
                name=f"fold{fold}{rule}{TRIED * self.is_tried}",
                split="train",
                stores={name: [model.out_of_fold_store(fold)] for name, model in self.models.items()},
                raw={name: model.out_of_fold(fold) for name, model in self.models.items()},
                contents={name: model.out_of_fold_contents() for name, model in self.models.items()},
                rows=rows,
                fold=fold,
                groups=groups,
                query_groups=groups,
                seen=f"fold-{fold}",
            )
            for fold, rows in catalogue.rows_by_fold.items()
        ]
        have = gallery_photos(catalogue.labels, groups)
        query_set = self._query_set(tasks, catalogue.train_images)
        return LabelledQuerySet(
            **vars(query_set),
            truth=np.where(have == 0, NEW, catalogue.labels).astype(np.int32),
            gallery_photos=have,
            leave_out=self.leave_out,
            catalogue_photos=np.bincount(catalogue.labels, minlength=len(catalogue.individuals)),
            can_hide=all(model.frozen is not None for model in self.models.values()),
        )

    def _test_task(self, use: str) -> RetrievalTask:
        stores = {name: model.test_stores(use) for name, model in self.models.items()}
        return self._task(
            name="test",
            split="test",
            stores=stores,
            raw={name: model.test(use) for name, model in self.models.items()},
            contents={name: [store.manifest.content_sha256 for store in own] for name, own in stores.items()},
            rows=np.arange(self.project.catalogue.test.height),
            fold=None,
            seen="full",
        )

    def _task(self, *, seen: str, **given: Any) -> RetrievalTask:
        """A task with what the retriever has; `seen` names the set of additions that its queries may meet."""
        split, stores, rows = given["split"], given["stores"], given["rows"]
        if self.neighbours != EXACT:
            # beside exact lists in the cache: they may have taken long
            given["name"] += f"-{self.neighbours}"
        index = species_of_tables(self.project.catalogue, split)[rows]
        return RetrievalTask(
            project=self.project,
            models=self.models,
            whitening=self.whitening,
            added=self.gallery.sets.get(seen),
            neighbours=self.neighbours,
            pair_stores={name: self.pair_stores[name] for name in self.pairs},
            settle_species=lambda votes: given_species(
                index, with_predicted_species(votes, stores, split, rows, self.project)
            ),
            **given,
        )

    def _query_set(self, tasks: list[RetrievalTask], images: list[str]) -> QuerySet:
        catalogue = self.project.catalogue
        parts = gathered(tasks, self.progress, self.engine)
        shares = np.empty((len(images), len(catalogue.species)), dtype=np.float32)
        for task, found in zip(tasks, parts, strict=True):
            shares[task.rows] = found.shares
        likely = shares.argmax(axis=1).astype(np.int32)
        return QuerySet(
            images=images,
            evidence=joined(tasks, parts),
            species=Species(species_mismatch(shares), catalogue.species_of_individual, likely),
            species_names=catalogue.species,
            tasks=tasks,
            completing=partial(completed, tasks, self.progress, self.engine),
        )


def species_of_tables(catalogue: Catalogue, split: str) -> np.ndarray:
    """(n,) int32: index of each query's species as the tables give it; -1 where they give none."""
    of_test = _species_index(catalogue.test, catalogue.species)
    if split == "test":
        return of_test
    if (of_test >= 0).mean() > MOSTLY:
        # test photos come with their species, so out-of-fold photos do too: tuned on what test will be like
        return _species_index(catalogue.train, catalogue.species)
    return np.full(len(catalogue.labels), -1, dtype=np.int32)


def _species_index(photos: pl.DataFrame, species: list[str]) -> np.ndarray:
    index = {name: i for i, name in enumerate(species) if name != NO_SPECIES}
    return np.array([index.get(name, -1) for name in photos["species"]], dtype=np.int32)
