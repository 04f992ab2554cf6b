"""The compiled loop behind `candidates_of`: each query's best individuals and their similarity in every source."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.ranking.rank_kernels import insert

BEST, SECOND, TOP3 = 0, 1, 2


@kernel(parallel=True)
def fill_candidates(
    weights: np.ndarray,
    recipe: np.ndarray,
    channels: np.ndarray,
    group_start: np.ndarray,
    individual: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    similarity: np.ndarray,
    penalty: float,
    species_mismatch: np.ndarray,
    species_of: np.ndarray,
    out_individual: np.ndarray,
    out_photo: np.ndarray,
    out_seen: np.ndarray,
    out_similarity: np.ndarray,
) -> None:
    """Fill the places of each query; `out` is (queries, places, sources + 1, 3), the last source is the blend."""
    places, n_sources, n_views = out_individual.shape[1], channels.shape[0], channels.shape[1]
    for i in numba.prange(group_start.shape[0] - 1):
        score = np.full(places, -np.inf)
        group = np.full(places, -1, dtype=np.int64)
        for g in range(group_start[i], group_start[i + 1]):
            top = -np.inf
            for p in range(photo_start[g], photo_start[g + 1]):
                top = max(top, _blend(weights[recipe[i]], channels, similarity[p]))
            value = top - penalty * species_mismatch[i, species_of[individual[g]]]
            at = places - 1
            if not value > score[at]:
                continue
            while at > 0 and score[at - 1] < value:
                score[at], group[at] = score[at - 1], group[at - 1]
                at -= 1
            score[at], group[at] = value, g
        values = np.empty(3)
        for c in range(places):
            g = group[c]
            if g < 0:
                break
            out_individual[i, c] = individual[g]
            out_seen[i, c] = photo_start[g + 1] - photo_start[g]
            for s in range(n_sources + 1):
                n_kept = 0
                for p in range(photo_start[g], photo_start[g + 1]):
                    if s == n_sources:
                        value = _blend(weights[recipe[i]], channels, similarity[p])
                        if n_kept == 0 or value > values[0]:
                            out_photo[i, c] = photo[p]
                    else:
                        value = 0.0
                        for v in range(n_views):
                            value += similarity[p, channels[s, v]] / n_views
                    if np.isfinite(value):
                        n_kept = insert(values, n_kept, 3, value)
                if n_kept:
                    out_similarity[i, c, s, BEST] = values[0]
                    out_similarity[i, c, s, TOP3] = values[:n_kept].sum() / n_kept
                    if n_kept > 1:
                        out_similarity[i, c, s, SECOND] = values[1]


@kernel(inline="always")
def _blend(weights: np.ndarray, channels: np.ndarray, similarity: np.ndarray) -> float:
    total = 0.0
    for s in range(channels.shape[0]):
        if weights[s] > 0:
            for v in range(channels.shape[1]):
                total += weights[s] * similarity[channels[s, v]] / channels.shape[1]
    return total
