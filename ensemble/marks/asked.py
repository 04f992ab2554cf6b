"""Who is asked about whom: each query's likely species, and the gallery photos that the models bring up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.mix import Mix
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.setup import read_setup
from ensemble.registry.left_out import groups_of, left_out_by
from ensemble.registry.models import usable_models
from ensemble.retrieval.query_set import QuerySet
from ensemble.retrieval.retriever import species_of_tables
from postproc import NOBODY, Evidence


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The queries of one split.

    Attributes
    ----------
    split : {"train", "test"}
    species : (n,) int32 array
        Among whose photos the query's marks are looked for; -1: among all.
    group : (n,) int32 array
        The group whose photos a query does not meet (`cv.left_out`); -1 in test, where it meets all.
    shortlist : (n, s) int32 array
        Train photos that the models bring up, best first; -1 where there are fewer.
    """

    split: str
    species: np.ndarray
    group: np.ndarray
    shortlist: np.ndarray


def asked_of(
    project: Project, shortlist: int, per_species: bool, progress: Progress | None = None, engine: Engine = HERE
) -> dict[str, Asked]:
    """The queries of both splits; out-of-fold they are asked as the protocol asks models.

    Parameters
    ----------
    project : Project
        Without models the species that the tables give count, of train photos where test photos have them, too; and
        nothing is brought up.
    shortlist : int
        Photos a query that the models bring up, by equal weights.
    per_species : bool
        Whether marks are looked for among photos of the likely species only.
    progress : callable, optional
    engine : Engine
        Where the models' neighbours are searched.
    """
    catalogue = project.catalogue
    usable, _ = usable_models(project)
    species, lists = {}, {}
    groups = groups_of(project, left_out_by(project, None, usable))
    if usable:
        retriever = read_setup(project, Mix(), list(usable), pairs=[], progress=progress, engine=engine).retriever
        for split, query_set in (("train", retriever.out_of_fold()), ("test", retriever.of_test())):
            species[split], lists[split] = query_set.species.likely, brought_up(query_set, shortlist)
    else:
        for split in ("train", "test"):
            species[split] = species_of_tables(catalogue, split)
            lists[split] = np.full((len(species[split]), 0), -1, dtype=np.int32)
    return {
        split: Asked(
            split=split,
            species=species[split] if per_species else np.full_like(species[split], -1),
            group=groups if split == "train" else np.full(catalogue.test.height, NOBODY, dtype=np.int32),
            shortlist=lists[split],
        )
        for split in ("train", "test")
    }


def brought_up(query_set: QuerySet, n: int) -> np.ndarray:
    """(queries, n) int32: the photos most similar by equal weights, best first; -1 where there are fewer."""
    evidence = query_set.evidence
    query = query_of_photo(evidence)
    # the catalogue's photos only: test photos that were merged into the gallery have no pairs
    usable = evidence.photo < len(query_set.catalogue.labels)
    mean = evidence.similarity[:, evidence.channels.ravel()].mean(axis=1)
    order = np.lexsort((-mean, query))
    order = order[usable[order]]
    start = np.searchsorted(query[order], np.arange(evidence.n_queries))
    place = np.arange(len(order)) - start[query[order]]
    kept = order[place < n]
    out = np.full((evidence.n_queries, n), -1, dtype=np.int32)
    out[query[kept], place[place < n]] = evidence.photo[kept]
    return out


def query_of_photo(evidence: Evidence) -> np.ndarray:
    """(photos,) the query of each candidate photo."""
    return np.repeat(np.arange(evidence.n_queries), np.diff(evidence.photo_start[evidence.group_start]))
