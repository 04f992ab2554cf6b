"""The compiled loop behind `rank`: one pass over the evidence, nothing allocated but a few numbers a query."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.ranking.list_kernels import blend_columns, insert, list_best, list_best_means, place

# more than float32 upper bounds and sums of a few products can be off
_ROUNDING = 2e-6


@kernel(inline="always")
def _blended(weights: np.ndarray, values: np.ndarray) -> float:
    """Weighted sum over the columns that have weight; a column without evidence (-inf) must not turn it into NaN."""
    total = 0.0
    for c in range(weights.shape[0]):
        if weights[c] != 0.0:
            total += weights[c] * values[c]
    return total


@kernel(inline="always")
def _ceiling(weights: np.ndarray, upper_bound: np.ndarray, lower: float) -> float:
    """The most that a photo outside the candidates can score: the blended upper bounds, lowered by the fused search."""
    plain = _blended(weights, upper_bound)
    return min(plain, plain - lower + _ROUNDING)


@kernel(parallel=True)
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
    by_column: np.ndarray,
    is_complete: bool,
    further_start: np.ndarray,
    further_photo: np.ndarray,
    further_similarity: np.ndarray,
    further_most: np.ndarray,
    unseen_upper_bound: np.ndarray,
    species_upper_bound: np.ndarray,
    lead: np.ndarray,
    gap: np.ndarray,
    top_photos: int,
    penalty: float,
    species_mismatch: np.ndarray,
    likely: np.ndarray,
    second_mismatch: np.ndarray,
    species_of_individual: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    out_bound: np.ndarray,
) -> None:
    """Fill the lists of the queries `rows`, and bound everybody of whom the candidates do not show all.

    Arrays are as in `Evidence` and `rank`; `recipe` says which of the `column_weights` (recipes, views, columns) is a
    query's, `lead` (recipes) how much of the fused search a recipe contains, `gap` (n, 2) by how much its upper
    bound is below the sources', over the whole gallery and within the species, `likely` and `second_mismatch` a query's
    likeliest species and the mismatch of the next one. `is_complete` says that candidates and further photos are all
    that a mean needs.
    """
    n_views, depth = column_weights.shape[1], out_score.shape[1]
    chunk = 64
    for block in numba.prange((len(rows) + chunk - 1) // chunk):
        best, lifted = np.empty(top_photos), np.empty(depth)
        ceiling, species_ceiling = np.empty(n_views), np.empty(n_views)
        filled = np.empty(depth, dtype=np.bool_)
        most_groups, most_photos = 0, 0
        for r in range(block * chunk, min(len(rows), (block + 1) * chunk)):
            start, stop = group_start[rows[r]], group_start[rows[r] + 1]
            most_groups = max(most_groups, stop - start)
            most_photos = max(most_photos, photo_start[stop] - photo_start[start])
        best_three, nearest_photo = np.empty((most_groups, 3)), np.empty(most_groups, dtype=np.int64)
        value = np.empty(most_photos)
        for r in range(block * chunk, min(len(rows), (block + 1) * chunk)):
            q = rows[r]
            weights = column_weights[recipe[q]]
            out_individual[r, :], out_score[r, :], out_photo[r, :], filled[:] = -1, -np.inf, -1, False
            bound, species_bound = 0.0, 0.0
            for v in range(n_views):
                ceiling[v] = _ceiling(weights[v], unseen_upper_bound[q], lead[recipe[q]] * gap[q, 0])
                species_ceiling[v] = _ceiling(weights[v], species_upper_bound[q], lead[recipe[q]] * gap[q, 1])
                species_ceiling[v] = min(ceiling[v], species_ceiling[v])
                bound += ceiling[v]
                species_bound += species_ceiling[v]
            # photos of individuals without a candidate
            bound = max(bound / n_views - penalty * second_mismatch[q], species_bound / n_views)
            highest, n_lifted = -np.inf, 0
            if n_views == 1:
                first, stop = photo_start[group_start[q]], photo_start[group_start[q + 1]]
                blend_columns(weights[0], by_column, first, stop, value)
            if n_views == 1 and top_photos == 1:
                list_best(
                    group_start[q],
                    group_start[q + 1],
                    value,
                    individual,
                    photo_start,
                    photo,
                    penalty,
                    species_mismatch[q],
                    species_of_individual,
                    best_three,
                    nearest_photo,
                    lifted,
                    out_individual[r],
                    out_score[r],
                    out_photo[r],
                    filled,
                )
                # an unseen photo makes of an individual with candidates no more than of one without
                out_bound[r] = np.float32(bound)
                continue
            if n_views == 1 and is_complete:
                list_best_means(
                    group_start[q],
                    group_start[q + 1],
                    value,
                    weights[0],
                    individual,
                    gallery_photos,
                    photo_start,
                    photo,
                    further_start,
                    further_photo,
                    further_similarity,
                    further_most,
                    top_photos,
                    ceiling[0],
                    species_ceiling[0],
                    penalty,
                    species_mismatch[q],
                    likely[q],
                    species_of_individual,
                    best_three,
                    nearest_photo,
                    lifted,
                    out_individual[r],
                    out_score[r],
                    out_photo[r],
                    filled,
                )
                out_bound[r] = np.float32(bound)
                continue
            for g in range(group_start[q], group_start[q + 1]):
                wanted = min(top_photos, gallery_photos[g])
                all_seen = is_complete or photo_start[g + 1] - photo_start[g] == gallery_photos[g]
                total, most, lift, species_lift = 0.0, 0.0, 0.0, 0.0
                nearest, nearest_score = -1, -np.inf
                is_filled = False
                own_ceiling = species_ceiling if species_of_individual[individual[g]] == likely[q] else ceiling
                for v in range(n_views):
                    n_kept = 0
                    for p in range(photo_start[g], photo_start[g + 1]):
                        score = _blended(weights[v], similarity[p])
                        if score > nearest_score:
                            nearest, nearest_score = photo[p], score
                        n_kept = insert(best, n_kept, wanted, score)
                    if is_complete:
                        for p in range(further_start[g], further_start[g + 1]):
                            score = _blended(weights[v], further_similarity[p])
                            if score > nearest_score or (score == nearest_score and further_photo[p] < nearest):
                                nearest, nearest_score = further_photo[p], score
                            n_kept = insert(best, n_kept, wanted, score)
                    part, most_part = 0.0, 0.0
                    for i in range(n_kept):
                        part += best[i]
                        most_part += max(best[i], own_ceiling[v])
                    if n_kept < wanted:
                        is_filled = True
                        part += (wanted - n_kept) * min(own_ceiling[v], best[n_kept - 1])
                        most_part += (wanted - n_kept) * own_ceiling[v]
                    total += part / wanted
                    most += most_part / wanted
                    lift += max(part / wanted, ceiling[v])
                    species_lift += max(part / wanted, species_ceiling[v])
                deduction = 0.0
                if penalty > 0.0:
                    deduction = penalty * species_mismatch[q, species_of_individual[individual[g]]]
                if not all_seen and most > total:
                    highest = max(highest, most / n_views - deduction)
                total = total / n_views - deduction
                if n_views > 1:
                    # the most that somebody pruned because of this one can score, of another species or the likeliest
                    lift = lift / n_views - max(deduction, penalty * second_mismatch[q])
                    n_lifted = insert(lifted, n_lifted, depth, max(lift, species_lift / n_views - deduction))
                place(out_score[r], out_individual[r], out_photo[r], filled, total, individual[g], nearest, is_filled)
            # nobody who stays below the list matters to it
            if np.float32(highest) > out_score[r, depth - 1]:
                bound = max(bound, highest)
            if n_lifted == depth and bound > -np.inf:
                bound = max(bound, lifted[depth - 1])
            out_bound[r] = np.inf if filled.any() else np.float32(bound)
