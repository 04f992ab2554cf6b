"""Evidence: for each query, its candidate gallery photos and their similarity in every source.

Similarities are computed once; after that a blend is a weighted sum over them, because the cosine of weighted
concatenations of unit vectors is the weighted mean of the cosines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from postproc.neighbours.search import Neighbours

# under which names arrays are saved: a format, which stays where a field is called otherwise
_FILE_NAMES = {
    "unseen_upper_bound": "horizon",
    "species_upper_bound": "species_horizon",
    "fused_weights": "joint_weights",
    "fused_upper_bound": "joint_horizon",
}
# what further photos are kept as
FURTHER = ("further_start", "further_photo", "further_similarity")

# of how many of an individual's photos a blend takes the mean, at most
MAX_TOP_PHOTOS = 3
# Scores are rounded to float32, so a smaller lead may end in a tie, which the order of individuals decides.
CLEAR = np.float32(1e-5)


@dataclass(frozen=True)
class Evidence:
    """Candidates of many queries, grouped by individual.

    Query i owns the groups `group_start[i] : group_start[i + 1]`; group g, one individual, owns the candidate photos
    `photo_start[g] : photo_start[g + 1]`.

    Attributes
    ----------
    sources : tuple of str
    channels : (sources, views) int32 array
        Which column of `similarity` speaks for a source in a query view.
    group_start : (n + 1,) int64 array
    individual : (groups,) int32 array
    gallery_photos : (groups,) int32 array
        Photos of that individual in the query's gallery, among the candidates or not (less those pruned).
    photo_start : (groups + 1,) int64 array
    photo : (photos,) int32 array
        Gallery row.
    similarity : (photos, columns) float32 array
    unseen_upper_bound : (n, columns) float32 array
        Of the similarity of photos that are no candidates: the K-th similarity. -inf where all photos are candidates.
    species_upper_bound : (n, columns) float32 array, optional
        The same for photos of the query's likeliest species, where these were searched too.
    people : (n,) int32 array, optional
        Individuals in the query's gallery; None where it is not known.
    fused_weights : (sources,) float64 array, optional
        Weights beta >= 0, summing to 1, of the sources in the fused search.
    fused_upper_bound : (n, 2) float32 array, optional
        The K-th similarity of that search, over the whole gallery and within the likeliest species: hardly any photo
        is as near as the K-th in all sources at once, so this bound is much lower than the mean of the others.
    pairs : (photos, 2 x pair sources) float32 array, optional
        Score and second number of every pair source; NaN where a pair was not compared.
    further_start : (groups + 1,) int64 array, optional
        A group's further photos are `further_start[g] : further_start[g + 1]`: photos outside the candidates that its
        mean of up to `MAX_TOP_PHOTOS` can need. All others are exceeded by as many in every column. None where nobody
        has looked (`postproc.evidence.completion`).
    further_photo : (further,) int32 array, optional
    further_similarity : (further, columns) float32 array, optional
    """

    sources: tuple[str, ...]
    channels: np.ndarray
    group_start: np.ndarray
    individual: np.ndarray
    gallery_photos: np.ndarray
    photo_start: np.ndarray
    photo: np.ndarray
    similarity: np.ndarray
    unseen_upper_bound: np.ndarray
    species_upper_bound: np.ndarray | None = None
    people: np.ndarray | None = None
    fused_weights: np.ndarray | None = None
    fused_upper_bound: np.ndarray | None = None
    pairs: np.ndarray | None = None
    further_start: np.ndarray | None = None
    further_photo: np.ndarray | None = None
    further_similarity: np.ndarray | None = None

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.group_start) - 1

    @cached_property
    def by_column(self) -> np.ndarray:
        """(columns, photos) float32 array: `similarity` with each column in one piece."""
        return np.ascontiguousarray(self.similarity.T)

    @cached_property
    def further_most(self) -> np.ndarray:
        """(groups, columns) float32 array: the most that each column says of any further photo, -inf without one."""
        out = np.full((len(self.individual), self.similarity.shape[1]), -np.inf, dtype=np.float32)
        if self.further_start is not None and self.further_similarity is not None:
            has_some = np.flatnonzero(np.diff(self.further_start))
            if len(has_some):
                out[has_some] = np.maximum.reduceat(self.further_similarity, self.further_start[has_some])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by name, for saving."""
        by_name = {_FILE_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self) if f.name != "sources"}
        return {name: array for name, array in by_name.items() if array is not None}

    @classmethod
    def from_arrays(cls, sources: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> Evidence:
        """From the arrays of `arrays`."""
        names = {_FILE_NAMES.get(f.name, f.name): f.name for f in fields(cls)}
        return cls(sources, **{names[name]: array for name, array in arrays.items()})


@dataclass(frozen=True)
class FusedSearch:
    """What a search by several sources at once found.

    Attributes
    ----------
    weights : (sources,) float array >= 0, summing to 1
        The similarity is the mean of the sources' by these weights.
    nearest : Neighbours
    same_species : Neighbours
        Within each query's likeliest species; the same as `nearest` where there are no species.
    by_source, same_species_by_source : (sources, n, k) float32 arrays, optional
        Their similarities in every source where the search has computed them; NaN where not.
    """

    weights: np.ndarray
    nearest: Neighbours
    same_species: Neighbours
    by_source: np.ndarray | None = None
    same_species_by_source: np.ndarray | None = None
