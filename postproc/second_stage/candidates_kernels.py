"""The compiled loops behind `candidates_of`: each query's best individuals, and what each source says of them."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.ranking.list_kernels import insert

BEST, SECOND, TOP3 = 0, 1, 2
# of pair sources the sum over an individual's photos takes the third place
SUM = 2


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
    pairs: np.ndarray,
    penalty: float,
    species_mismatch: np.ndarray,
    species_of: np.ndarray,
    hidden: np.ndarray,
    further: int,
    out_individual: np.ndarray,
    out_photo: np.ndarray,
    out_seen: np.ndarray,
    out_similarity: np.ndarray,
    out_pairs: np.ndarray,
) -> None:
    """Fill the places of each query, the last `further` a pair source with those that it says most of.

    `out_similarity` is (queries, places, sources + 1, 3), the last source is the blend; `out_pairs` is (queries,
    places, columns of `pairs`, 3).
    """
    n_sources, n_views = channels.shape
    n_pair_sources = pairs.shape[1] // 2
    places = out_individual.shape[1] - further * n_pair_sources
    for i in numba.prange(group_start.shape[0] - 1):
        score = np.full(places, -np.inf)
        group = np.full(out_individual.shape[1], -1, dtype=np.int64)
        for g in range(group_start[i], group_start[i + 1]):
            if individual[g] == hidden[i]:
                continue
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
        n_chosen = 0
        while n_chosen < places and group[n_chosen] >= 0:
            n_chosen += 1
        for s in range(n_pair_sources):
            n_chosen = _add_further(
                group, n_chosen, further, pairs[:, 2 * s], group_start[i : i + 2], individual, photo_start, hidden[i]
            )
        values = np.empty(3)
        for c in range(n_chosen):
            g = group[c]
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
            for s in range(pairs.shape[1]):
                n_kept, total = 0, 0.0
                for p in range(photo_start[g], photo_start[g + 1]):
                    if np.isfinite(pairs[p, s]):
                        n_kept = insert(values, n_kept, 3, pairs[p, s])
                        total += pairs[p, s]
                if n_kept:
                    out_pairs[i, c, s, BEST], out_pairs[i, c, s, SUM] = values[0], total
                    if n_kept > 1:
                        out_pairs[i, c, s, SECOND] = values[1]


@kernel(inline="always")
def _add_further(
    group: np.ndarray,
    n_chosen: int,
    further: int,
    score: np.ndarray,
    bounds: np.ndarray,
    individual: np.ndarray,
    photo_start: np.ndarray,
    hidden: int,
) -> int:
    """Append the groups of the best scores above 0 that are not chosen yet; returns how many are chosen."""
    for _ in range(further):
        best, chosen = 0.0, -1
        for g in range(bounds[0], bounds[1]):
            if individual[g] == hidden:
                continue
            is_new = True
            for c in range(n_chosen):
                is_new = is_new and group[c] != g
            if is_new:
                for p in range(photo_start[g], photo_start[g + 1]):
                    if score[p] > best:
                        best, chosen = score[p], g
        if chosen < 0:
            break
        group[n_chosen] = chosen
        n_chosen += 1
    return n_chosen


@kernel(inline="always")
def _blend(weights: np.ndarray, channels: np.ndarray, similarity: np.ndarray) -> float:
    total = 0.0
    for s in range(channels.shape[0]):
        if weights[s] > 0:
            for v in range(channels.shape[1]):
                total += weights[s] * similarity[channels[s, v]] / channels.shape[1]
    return total
