"""The compiled loop behind `cohort_background`."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.ranking.list_kernels import insert


@kernel(parallel=True)
def cohort_means(
    weights: np.ndarray,
    channels: np.ndarray,
    group_start: np.ndarray,
    individual: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    similarity: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    hidden: int,
    k: int,
    out: np.ndarray,
) -> None:
    """Mean of the `k` most similar other individuals' best photos, per source and (last) in the blend."""
    n_sources, n_views = channels.shape
    for i in numba.prange(group_start.shape[0] - 1):
        top = np.full((n_sources + 1, k), -np.inf)
        best = np.empty(n_sources + 1)
        for g in range(group_start[i], group_start[i + 1]):
            if individual[g] == labels[i]:
                continue
            best[:] = -np.inf
            for p in range(photo_start[g], photo_start[g + 1]):
                if fold[photo[p]] == hidden:
                    continue
                blended = 0.0
                for s in range(n_sources):
                    value = 0.0
                    for v in range(n_views):
                        value += similarity[p, channels[s, v]] / n_views
                    best[s] = max(best[s], value)
                    if weights[s] > 0:
                        blended += weights[s] * value
                best[n_sources] = max(best[n_sources], blended)
            for s in range(n_sources + 1):
                insert(top[s], k, k, best[s])
        for s in range(n_sources + 1):
            total, n_individuals = 0.0, 0
            for c in range(k):
                if np.isfinite(top[s, c]):
                    total += top[s, c]
                    n_individuals += 1
            out[i, s] = total / n_individuals if n_individuals else np.nan
