"""How a blend ranks a query set: among the candidates, and what these leave open over the whole gallery."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.project.cache import FEW, cached, entries
from ensemble.project.progress import Progress
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking, rank

_LISTS = ("individual", "score", "photo", "unseen_upper_bound")


def weights_of(query_set: QuerySet, blend: Blend) -> tuple[np.ndarray, np.ndarray]:
    """(recipes, models) weights, the global ones first, and which row is each query's."""
    models = query_set.evidence.sources
    recipes = [blend.weights, *blend.species_weights.values()]
    weights = np.array([[recipe.get(name, 0.0) for name in models] for recipe in recipes])
    recipe_of_species = np.zeros(max(len(query_set.species_names), 1), dtype=np.int32)
    for n, name in enumerate(blend.species_weights, start=1):
        if name in query_set.species_names:
            recipe_of_species[query_set.species_names.index(name)] = n
    return weights, recipe_of_species[query_set.species.likely]


def ranking_of(query_set: QuerySet, blend: Blend) -> Ranking:
    """Rank known individuals by a blend, among the candidates."""
    weights, recipe = weights_of(query_set, blend)
    return rank(
        query_set.evidence_for(blend.top_photos),
        weights,
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        species=query_set.species,
        recipe=recipe,
    )


def rescored(
    query_set: QuerySet,
    blend: Blend,
    ranking: Ranking,
    rows: np.ndarray,
    progress: Progress | None = None,
    *,
    keep: bool = False,
) -> Ranking:
    """The ranking with some rows rescored over the whole gallery, so that nothing about them is open.

    Parameters
    ----------
    query_set : QuerySet
    blend : Blend
    ranking : Ranking
        Of all queries.
    rows : (m,) int array
        Ascending.
    progress : callable, optional
    keep : bool
        Whether the lists stay in the project's cache, and are taken from there: few numbers, but opening the whole
        gallery for them takes long. For blends that are asked about again, not for those that a search tries.
    """
    if not len(rows):
        return ranking
    lists = _kept(query_set, blend, rows, progress) if keep else _rescored(query_set, blend, rows, progress)
    whole = {name: np.array(array) for name in _LISTS if (array := getattr(ranking, name)) is not None}
    for name, array in whole.items():
        array[rows] = lists[name]
    return Ranking(**whole)


def _rescored(query_set: QuerySet, blend: Blend, rows: np.ndarray, progress: Progress | None) -> dict[str, np.ndarray]:
    weights, recipe = weights_of(query_set, blend)
    ranking = query_set.over_whole_gallery(
        rows,
        weights[recipe[rows]],
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        progress=progress,
    )
    return {name: array for name in _LISTS if (array := getattr(ranking, name)) is not None}


def _kept(query_set: QuerySet, blend: Blend, rows: np.ndarray, progress: Progress | None) -> dict[str, np.ndarray]:
    """The lists of some rows; those that are in the cache, of whatever rows, are not made again."""
    cache, made_from = query_set.project.cache, _made_from(query_set, blend)
    key = hashlib.sha256(repr(made_from).encode()).hexdigest()
    earlier = [arrays for about, arrays in entries(cache, "settled") if about.get("recipe") == key]
    known = max(earlier, key=lambda arrays: len(arrays["row"]), default=None)
    missing = rows if known is None else np.setdiff1d(rows, known["row"])
    if known is None or len(missing):
        every = missing if known is None else np.union1d(known["row"], missing)

        def compute() -> dict[str, np.ndarray]:
            made = {"row": missing, **_rescored(query_set, blend, missing, progress)}
            if known is None:
                return made
            order = np.argsort(np.append(known["row"], missing))
            return {name: np.concatenate([known[name], array])[order] for name, array in made.items()}

        row_hash = hashlib.sha256(every.tobytes()).hexdigest()
        known = cached(cache, "settled", [key, row_hash], compute, {"recipe": key}, keep=FEW)
    at = np.searchsorted(known["row"], rows)
    return {name: array[at] for name, array in known.items() if name != "row"}


def _made_from(query_set: QuerySet, blend: Blend) -> list[Any]:
    """All that the ranking of a photo over the whole gallery depends on."""
    species, tasks = query_set.species, query_set.tasks
    arrays = (species.mismatch, species.likely, species.of_individual)
    return [
        [blend.weights, blend.species_weights, blend.top_photos, blend.species_penalty],
        [[task.name, [[name, task.made_from(name)] for name in task.models]] for task in tasks],
        [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
    ]
