"""One `predict` for out-of-fold and test: they differ in their questions only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.project.progress import Progress
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking, rank

if TYPE_CHECKING:
    pass


def weights_of(query_set: QuerySet, blend: Blend) -> tuple[np.ndarray, np.ndarray]:
    """(recipes, sources) weights, the global ones first, and which row is each question's."""
    models = query_set.evidence.sources
    named = [blend.weights, *blend.species_weights.values()]
    weights = np.array([[own.get(name, 0.0) for name in models] for own in named])
    recipe_of_species = np.zeros(max(len(query_set.species_names), 1), dtype=np.int32)
    for n, name in enumerate(blend.species_weights, start=1):
        if name in query_set.species_names:
            recipe_of_species[query_set.species_names.index(name)] = n
    return weights, recipe_of_species[query_set.species.likely]


def ranking_of(query_set: QuerySet, blend: Blend) -> Ranking:
    """Rank known individuals by a blend, among the candidates."""
    weights, recipe = weights_of(query_set, blend)
    return rank(
        query_set.evidence,
        weights,
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        species=query_set.species,
        recipe=recipe,
    )


def rescored(
    query_set: QuerySet, blend: Blend, ranking: Ranking, rows: np.ndarray, progress: Progress | None = None
) -> Ranking:
    """The ranking with some rows recomputed over the whole gallery, so that nothing about them is open."""
    if not len(rows):
        return ranking
    weights, recipe = weights_of(query_set, blend)
    found = query_set.over_whole_gallery(
        rows,
        weights[recipe[rows]],
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        progress=progress,
    )
    whole = Ranking(
        *(np.array(a) for a in (ranking.individual, ranking.score, ranking.photo, ranking.unseen_upper_bound))
    )
    for mine, theirs in zip(
        (whole.individual, whole.score, whole.photo, whole.unseen_upper_bound),
        (found.individual, found.score, found.photo, found.unseen_upper_bound),
        strict=True,
    ):
        if mine is not None:
            mine[rows] = theirs
    return whole
