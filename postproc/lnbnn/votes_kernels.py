"""The compiled loop behind `votes`."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel


@kernel(parallel=True)
def fill_votes(
    start: np.ndarray,
    position: np.ndarray,
    distance: np.ndarray,
    photo_of: np.ndarray,
    n_gallery: int,
    out_photo: np.ndarray,
    out_score: np.ndarray,
) -> None:
    """Sum the votes of each query photo's descriptors, and keep the photos with most."""
    most, k = out_photo.shape[1], position.shape[1] - 1
    for q in numba.prange(len(start) - 1):
        total = np.zeros(n_gallery, dtype=np.float64)
        for i in range(start[q], start[q + 1]):
            # the background: the last one found, the (k + 1)-th wherever there are as many
            last = k
            while last > 0 and position[i, last] < 0:
                last -= 1
            for j in range(last):
                total[photo_of[position[i, j]]] += max(0.0, float(distance[i, last]) - float(distance[i, j]))
        voted = np.flatnonzero(total > 0)
        if len(voted) > most:
            voted = voted[np.argsort(-total[voted])[:most]]
        for n in range(len(voted)):
            out_photo[q, n], out_score[q, n] = voted[n], total[voted[n]]
