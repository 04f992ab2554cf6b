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
    scores: np.ndarray,
    individuals: np.ndarray,
    photos: np.ndarray,
    exact: np.ndarray,
    score: float,
    individual: int,
    photo: int,
    is_exact: bool,
) -> None:
    """Put an individual into a query's list, behind those that score as much; scores are float32."""
    value = np.float32(score)
    at = scores.shape[0] - 1
    if not value > scores[at]:
        return
    while at > 0 and scores[at - 1] < value:
        scores[at], individuals[at], photos[at] = scores[at - 1], individuals[at - 1], photos[at - 1]
        exact[at] = exact[at - 1]
        at -= 1
    scores[at], individuals[at], photos[at], exact[at] = value, individual, photo, is_exact


@numba.njit(cache=True, parallel=True)
def rank_groups(
    rows: np.ndarray,
    recipe: np.ndarray,
    column_weights: np.ndarray,
    group_start: np.ndarray,
    individual: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    similarity: np.ndarray,
    horizon: np.ndarray,
    species_horizon: np.ndarray,
    top_photos: int,
    penalty: float,
    doubt: np.ndarray,
    likely: np.ndarray,
    second_doubt: np.ndarray,
    species_of_individual: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    out_bound: np.ndarray,
) -> None:
    """Fill the lists of the queries `rows`, and the most that anybody outside them can score.

    Arrays are as in `Evidence` and `rank`; `recipe` says which of the `column_weights` (recipes, views, columns) is a
    query's, `likely` and `second_doubt` its likeliest species and the doubt in the next one.
    """
    n_views = column_weights.shape[1]
    chunk = 64
    for block in numba.prange((len(rows) + chunk - 1) // chunk):
        best = np.empty(top_photos)
        ceiling, species_ceiling = np.empty(n_views), np.empty(n_views)
        exact = np.empty(out_score.shape[1], dtype=np.bool_)
        for r in range(block * chunk, min(len(rows), (block + 1) * chunk)):
            q = rows[r]
            weights = column_weights[recipe[q]]
            out_individual[r, :], out_score[r, :], out_photo[r, :], exact[:] = -1, -np.inf, -1, True
            for v in range(n_views):
                ceiling[v] = _blended(weights[v], horizon[q])
                species_ceiling[v] = min(ceiling[v], _blended(weights[v], species_horizon[q]))
            for g in range(group_start[q], group_start[q + 1]):
                wanted = min(top_photos, gallery_photos[g])
                total = 0.0
                nearest, nearest_score = -1, -np.inf
                is_exact = True
                own_ceiling = species_ceiling if species_of_individual[individual[g]] == likely[q] else ceiling
                for v in range(n_views):
                    found = 0
                    for p in range(photo_start[g], photo_start[g + 1]):
                        value = _blended(weights[v], similarity[p])
                        if value > nearest_score:
                            nearest, nearest_score = photo[p], value
                        found = _insert(best, found, wanted, value)
                    part = 0.0
                    for i in range(found):
                        part += best[i]
                    if top_photos > 1 and photo_start[g + 1] - photo_start[g] < gallery_photos[g]:
                        is_exact = is_exact and found == wanted and best[found - 1] >= own_ceiling[v]
                    if found < wanted:
                        part += (wanted - found) * min(own_ceiling[v], best[found - 1])
                    total += part / wanted
                total /= n_views
                if penalty > 0.0:
                    total -= penalty * doubt[q, species_of_individual[individual[g]]]
                _place(out_score[r], out_individual[r], out_photo[r], exact, total, individual[g], nearest, is_exact)
            bound, species_bound = 0.0, 0.0
            for v in range(n_views):
                bound += ceiling[v]
                species_bound += species_ceiling[v]
            bound = max(bound / n_views - penalty * second_doubt[q], species_bound / n_views)
            out_bound[r] = np.float32(bound) if exact.all() else np.inf
