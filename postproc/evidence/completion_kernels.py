"""The compiled loops behind `completion`, and when a photo cannot matter because of another one."""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel


@kernel(inline="always")
def exceeds(a: np.ndarray, b: np.ndarray, first: bool, clear: np.float32) -> bool:
    """Whether `a` is at least `b` in every column; clearly so unless it stands first, where ties are its own."""
    margin = np.float32(0.0) if first else clear
    for c in range(a.shape[0]):  # noqa: SIM110 - compiled
        if a[c] < b[c] + margin:
            return False
    return True


@kernel(parallel=True)
def mark_open(
    query_of: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    similarity: np.ndarray,
    unseen_upper_bound: np.ndarray,
    wanted: int,
    clear: np.float32,
    is_open: np.ndarray,
) -> None:
    """Mark the groups with photos outside the candidates that fewer than `wanted` candidates are sure to exceed."""
    for g in numba.prange(len(query_of)):
        first, stop = photo_start[g], photo_start[g + 1]
        if stop - first < gallery_photos[g]:
            above = 0
            for p in range(first, stop):
                above += exceeds(similarity[p], unseen_upper_bound[query_of[g]], False, clear)
            is_open[g] = above < wanted


@kernel(parallel=True)
def list_unseen(
    group: np.ndarray,
    photo: np.ndarray,
    query_of: np.ndarray,
    photo_start: np.ndarray,
    candidate: np.ndarray,
    selves: np.ndarray,
    query_group: np.ndarray,
    photo_group: np.ndarray,
) -> np.ndarray:
    """(pairs,) bool: whether a photo of a group's individual is no candidate, but one that the query meets."""
    out = np.empty(len(group), dtype=np.bool_)
    for i in numba.prange(len(group)):
        g = group[i]
        out[i] = photo[i] != selves[query_of[g]] and photo_group[photo[i]] != query_group[query_of[g]]
        for p in range(photo_start[g], photo_start[g + 1]):
            if candidate[p] == photo[i]:
                out[i] = False
    return out


@kernel(parallel=True)
def is_exceeded(
    groups: np.ndarray,
    start: np.ndarray,
    photo: np.ndarray,
    similarity: np.ndarray,
    photo_start: np.ndarray,
    candidate: np.ndarray,
    candidate_similarity: np.ndarray,
    wanted: int,
    clear: np.float32,
) -> np.ndarray:
    """(pairs,) bool: whether `wanted` photos of the individual, candidates or not, exceed one in every column."""
    out = np.empty(len(photo), dtype=np.bool_)
    for i in numba.prange(len(groups)):
        g = groups[i]
        for p in range(start[i], start[i + 1]):
            above = 0
            for other in range(photo_start[g], photo_start[g + 1]):
                above += exceeds(candidate_similarity[other], similarity[p], candidate[other] < photo[p], clear)
                if above == wanted:
                    break
            for other in range(start[i], start[i + 1]):
                if above == wanted:
                    break
                above += other != p and exceeds(similarity[other], similarity[p], other < p, clear)
            out[p] = above == wanted
    return out
