"""The compiled loop behind `rank`: one pass over the evidence, nothing allocated but a few numbers a query."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, inline="always")
def _blended(weights: np.ndarray, values: np.ndarray) -> float:
    """Weighted sum over the columns that have weight; a column without evidence (-inf) must not turn it into NaN."""
    total = 0.0
    for c in range(weights.shape[0]):
        if weights[c] != 0.0:
            total += weights[c] * values[c]
    return total


@numba.njit(cache=True, inline="always")
def _insert(best: np.ndarray, found: int, wanted: int, value: float) -> int:
    """Keep the `wanted` highest values in descending order; return how many there are."""
    if found < wanted:
        found += 1
    elif value <= best[found - 1]:
        return found
    at = found - 1
    while at > 0 and best[at - 1] < value:
        best[at] = best[at - 1]
        at -= 1
    best[at] = value
    return found


@numba.njit(cache=True, inline="always")
def _place(
    scores: np.ndarray, individuals: np.ndarray, photos: np.ndarray, score: float, individual: int, photo: int
) -> None:
    """Put an individual into a query's list, behind those that score as much; scores are float32."""
    value = np.float32(score)
    at = scores.shape[0] - 1
    if not value > scores[at]:
        return
    while at > 0 and scores[at - 1] < value:
        scores[at], individuals[at], photos[at] = scores[at - 1], individuals[at - 1], photos[at - 1]
        at -= 1
    scores[at], individuals[at], photos[at] = value, individual, photo


@numba.njit(cache=True, parallel=True)
def rank_groups(
    column_weights: np.ndarray,
    group_start: np.ndarray,
    individual: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    similarity: np.ndarray,
    horizon: np.ndarray,
    top_photos: int,
    penalty: float,
    doubt: np.ndarray,
    species_of_individual: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
) -> None:
    """Fill the lists of every query; arrays as in `Evidence` and `rank`."""
    n_views = column_weights.shape[0]
    for q in numba.prange(len(group_start) - 1):
        best = np.empty(top_photos)
        for g in range(group_start[q], group_start[q + 1]):
            wanted = min(top_photos, gallery_photos[g])
            total = 0.0
            nearest, nearest_score = -1, -np.inf
            for v in range(n_views):
                found = 0
                for p in range(photo_start[g], photo_start[g + 1]):
                    value = _blended(column_weights[v], similarity[p])
                    if value > nearest_score:
                        nearest, nearest_score = photo[p], value
                    found = _insert(best, found, wanted, value)
                part = 0.0
                for i in range(found):
                    part += best[i]
                if found < wanted:
                    part += (wanted - found) * min(_blended(column_weights[v], horizon[q]), best[found - 1])
                total += part / wanted
            total /= n_views
            if penalty > 0.0:
                total -= penalty * doubt[q, species_of_individual[individual[g]]]
            _place(out_score[q], out_individual[q], out_photo[q], total, individual[g], nearest)
