"""Candidates of the second stage: each query's best individuals with all that the sources say about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from postproc.evidence.evidence import Evidence
from postproc.evidence.pairs import CHANNELS
from postproc.neighbours.search import NOBODY
from postproc.ranking.rank import Species
from postproc.second_stage.candidates_kernels import fill_candidates

PLACES = 20
# individuals that each pair source adds: those it says most of, where the blend's best are others
FURTHER = 5


@dataclass(frozen=True)
class Candidates:
    """The best individuals of each query, best first, and their similarities.

    Attributes
    ----------
    individual : (n, places) int32 array
        -1 where there is nobody.
    photo : (n, places) int32 array
        Gallery photo most like the query in the blend.
    seen : (n, places) int32 array
        Photos of the individual that evidence holds.
    similarity : (n, places, sources + 1, 3) float32 array
        Best, second best, mean of the best three, of each source and (last) of the blend; NaN where there is none.
    pairs : (n, places, 2 x pair sources, 3) float32 array
        Best, second best and sum of each pair source's score and second number; NaN where no photo was compared.
    """

    individual: np.ndarray
    photo: np.ndarray
    seen: np.ndarray
    similarity: np.ndarray
    pairs: np.ndarray

    def take(self, rows: np.ndarray) -> Candidates:
        """Those of some queries."""
        return self._each(lambda array: array[rows])

    def joined(self, other: Candidates) -> Candidates:
        """These queries, then those."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return Candidates(*(np.concatenate(pair) for pair in pairs))

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> Candidates:
        return Candidates(*(change(getattr(self, f.name)) for f in fields(self)))


def candidates_of(
    evidence: Evidence,
    weights: np.ndarray,
    recipe: np.ndarray,
    species: Species,
    species_penalty: float = 0.0,
    places: int = PLACES,
    hidden: np.ndarray | None = None,
) -> Candidates:
    """The best individuals of each query by their best photo in the blend, less the species penalty.

    Where evidence has pair sources, each of them adds the `FURTHER` individuals that it says most of. Memory: 12 bytes
    a query, place and source, 24 a query, place and pair source.

    Parameters
    ----------
    evidence : Evidence
    weights : (recipes, sources) float array >= 0, rows summing to 1
    recipe : (n,) int array
        Which row of `weights` is a query's.
    species : Species
    species_penalty : float >= 0
    places : int >= 1
    hidden : (n,) int array, optional
        An individual for each query that is no candidate, as if the gallery had never known it.
    """
    n, sources = evidence.n_queries, len(evidence.sources)
    pairs = np.empty((len(evidence.photo), 0), dtype=np.float32) if evidence.pairs is None else evidence.pairs
    places += FURTHER * (pairs.shape[1] // CHANNELS)
    hidden = np.full(n, NOBODY) if hidden is None else hidden
    candidates = Candidates(
        np.full((n, places), NOBODY, dtype=np.int32),
        np.full((n, places), NOBODY, dtype=np.int32),
        np.zeros((n, places), dtype=np.int32),
        np.full((n, places, sources + 1, 3), np.nan, dtype=np.float32),
        np.full((n, places, pairs.shape[1], 3), np.nan, dtype=np.float32),
    )
    fill_candidates(
        np.ascontiguousarray(weights, dtype=np.float64),
        np.asarray(recipe, dtype=np.int64),
        evidence.channels,
        evidence.group_start,
        evidence.individual,
        evidence.photo_start,
        evidence.photo,
        evidence.similarity,
        pairs,
        float(species_penalty),
        species.mismatch,
        species.of_individual,
        np.asarray(hidden, dtype=np.int64),
        FURTHER,
        candidates.individual,
        candidates.photo,
        candidates.seen,
        candidates.similarity,
        candidates.pairs,
    )
    return candidates
