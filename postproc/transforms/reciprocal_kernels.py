"""The compiled loops behind k-reciprocal encoding: encodings, and how much they share (sets: `reciprocal_sets`)."""

from __future__ import annotations

import numba
import numpy as np

from postproc.transforms.reciprocal_sets import others, reciprocal, room

_CHUNK = 64


@numba.njit(cache=True)
def _lookup(keys: np.ndarray, values: np.ndarray, start: int, stop: int, key: int) -> float:
    """The value of a key in a sorted range, NaN where it is not there."""
    at = start + np.searchsorted(keys[start:stop], key)
    if at < stop and keys[at] == key:
        return float(values[at])
    return np.nan


@numba.njit(cache=True)
def _chunk(
    first: int,
    last: int,
    index: np.ndarray,
    similarity: np.ndarray,
    near: np.ndarray,
    entered_start: np.ndarray,
    entered_photo: np.ndarray,
    entered_similarity: np.ndarray,
    pair_start: np.ndarray,
    pair_other: np.ndarray,
    pair_value: np.ndarray,
    own_start: np.ndarray,
    own_photo: np.ndarray,
    own_value: np.ndarray,
    between_start: np.ndarray,
    between_key: np.ndarray,
    between_value: np.ndarray,
    k1: int,
    k2: int,
    half: int,
    out: np.ndarray,
) -> None:
    """Queries first to last, one after the other, in the same working memory."""
    m = len(index)
    entered, entry = np.zeros(m, dtype=np.bool_), np.empty(m, dtype=np.float32)
    base, some = np.empty(k1 + 1, dtype=np.int64), np.empty(k1 + 1, dtype=np.int64)
    in_base, in_set = np.full(m + 1, -1, dtype=np.int64), np.full(m + 1, -1, dtype=np.int64)
    # encodings of this query's pool, each made once: row_of counts from `first_row`
    row_of = np.full(m + 1, -1, dtype=np.int64)
    row_start = np.zeros(4096, dtype=np.int64)
    member, weight = np.empty(65536, dtype=np.int64), np.empty(65536)
    mine, theirs = np.zeros(m + 1), np.zeros(m + 1)
    touched = np.empty(m + 1, dtype=np.int64)
    neighbours = np.empty(k1 + 1, dtype=np.int64)
    token = 0
    for q in range(first, last):
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = True
            entry[entered_photo[e]] = entered_similarity[e]
        row_of[:] = -1
        rows = 0
        for c in range(-1, near.shape[1]):
            p = m if c < 0 else near[q, c]
            if p < 0:
                continue
            n_near = 1 + others(p, k2 - 1, index, similarity, entered, entry, near[q], neighbours[1:])
            neighbours[0] = p
            n_touched = 0
            into = mine if c < 0 else theirs
            for i in range(n_near):
                x = neighbours[i]
                if row_of[x] < 0:
                    row_start = room(row_start, rows + 1, 1)
                    at = row_start[rows]
                    length = reciprocal(x, k1, index, similarity, entered, entry, near[q], base)
                    member = room(member, at, (k1 + 1) * (half + 2))
                    weight = room(weight, at, (k1 + 1) * (half + 2))
                    token += 1
                    for j in range(length):
                        in_base[base[j]] = token
                        in_set[base[j]] = token
                        member[at] = base[j]
                        at += 1
                    for j in range(length):
                        more = reciprocal(base[j], half, index, similarity, entered, entry, near[q], some)
                        common = 0
                        for s in range(more):
                            common += in_base[some[s]] == token
                        if 3 * common >= 2 * more:
                            for s in range(more):
                                if in_set[some[s]] != token:
                                    in_set[some[s]] = token
                                    member[at] = some[s]
                                    at += 1
                    total = 0.0
                    for j in range(row_start[rows], at):
                        y = member[j]
                        if x == y:
                            value = 1.0
                        elif max(x, y) == m:
                            value = _lookup(own_photo, own_value, own_start[q], own_start[q + 1], min(x, y))
                        else:
                            value = _lookup(pair_other, pair_value, pair_start[x], pair_start[x + 1], y)
                            if np.isnan(value):
                                key = x * m + y
                                value = _lookup(between_key, between_value, between_start[q], between_start[q + 1], key)
                        weight[j] = np.exp(value - 1.0)
                        total += weight[j]
                    for j in range(row_start[rows], at):
                        weight[j] /= total
                    row_of[x] = rows
                    rows += 1
                    row_start[rows] = at
                for j in range(row_start[row_of[x]], row_start[row_of[x] + 1]):
                    y = member[j]
                    if into[y] == 0.0:
                        touched[n_touched] = y
                        n_touched += 1
                    into[y] += weight[j] / n_near
            if c >= 0:
                shared = 0.0
                for j in range(n_touched):
                    shared += min(mine[touched[j]], theirs[touched[j]])
                    theirs[touched[j]] = 0.0
                # both sum to 1, so the sum of the larger ones is 2 less that of the smaller ones
                out[q, c] = shared / (2.0 - shared)
        mine[:] = 0.0
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = False


@numba.njit(cache=True, parallel=True)
def jaccard(
    index: np.ndarray,
    similarity: np.ndarray,
    near: np.ndarray,
    entered_start: np.ndarray,
    entered_photo: np.ndarray,
    entered_similarity: np.ndarray,
    pair_start: np.ndarray,
    pair_other: np.ndarray,
    pair_value: np.ndarray,
    own_start: np.ndarray,
    own_photo: np.ndarray,
    own_value: np.ndarray,
    between_start: np.ndarray,
    between_key: np.ndarray,
    between_value: np.ndarray,
    k1: int,
    k2: int,
    half: int,
    out: np.ndarray,
) -> None:
    """1 less the Jaccard distance of each query and the photos in its row of `near`."""
    # a small loop around a large function: compilers take much longer over a large loop
    n = len(near)
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        _chunk(
            chunk * _CHUNK,
            min(n, (chunk + 1) * _CHUNK),
            index,
            similarity,
            near,
            entered_start,
            entered_photo,
            entered_similarity,
            pair_start,
            pair_other,
            pair_value,
            own_start,
            own_photo,
            own_value,
            between_start,
            between_key,
            between_value,
            k1,
            k2,
            half,
            out,
        )
