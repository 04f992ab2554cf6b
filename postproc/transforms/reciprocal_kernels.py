"""The compiled loops behind k-reciprocal encoding: encodings, and how much they share (sets: `reciprocal_sets`)."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.transforms.reciprocal_sets import others, reciprocal, room

_CHUNK = 64


class Pool(NamedTuple):
    """What the encodings of some queries, and of the m gallery photos near them, are made of.

    `gallery_index` and `gallery_similarity` are the lists of nearest others, `near` (n, k) the queries' photos. Query q
    enters the lists of `entered_photo[entered_start[q] : entered_start[q + 1]]`. Similarities of pairs that may weigh:
    of gallery photos whatever the query (`pair`), of a query and photos (`paired`), of photos because of a query
    (`between`, whose keys are `photo * m + photo`).
    """

    gallery_index: np.ndarray
    gallery_similarity: np.ndarray
    near: np.ndarray
    entered_start: np.ndarray
    entered_photo: np.ndarray
    entered_similarity: np.ndarray
    pair_start: np.ndarray
    pair_other: np.ndarray
    pair_value: np.ndarray
    paired_start: np.ndarray
    paired_photo: np.ndarray
    paired_value: np.ndarray
    between_start: np.ndarray
    between_key: np.ndarray
    between_value: np.ndarray


@kernel()
def _lookup(keys: np.ndarray, values: np.ndarray, start: np.ndarray, row: int, key: int) -> float:
    """The value of a key in a row's sorted range, NaN where it is not there."""
    at = start[row] + np.searchsorted(keys[start[row] : start[row + 1]], key)
    if at < start[row + 1] and keys[at] == key:
        return float(values[at])
    return np.nan


@kernel()
def _chunk(first: int, last: int, pool: Pool, k1: int, k2: int, half: int, out: np.ndarray) -> None:
    """Queries first to last, one after the other, in the same working memory."""
    index, similarity, m = pool.gallery_index, pool.gallery_similarity, len(pool.gallery_index)
    entered, entry = np.zeros(m, dtype=np.bool_), np.empty(m, dtype=np.float32)
    base, inner = np.empty(k1 + 1, dtype=np.int64), np.empty(k1 + 1, dtype=np.int64)
    in_base, in_set = np.full(m + 1, -1, dtype=np.int64), np.full(m + 1, -1, dtype=np.int64)
    # encodings of this query's pool, each made once: row_of counts from `first_row`
    row_of = np.full(m + 1, -1, dtype=np.int64)
    row_start = np.zeros(4096, dtype=np.int64)
    member, weight = np.empty(65536, dtype=np.int64), np.empty(65536)
    query_code, photo_code = np.zeros(m + 1), np.zeros(m + 1)
    touched = np.empty(m + 1, dtype=np.int64)
    neighbours = np.empty(k1 + 1, dtype=np.int64)
    token = 0
    for q in range(first, last):
        for e in range(pool.entered_start[q], pool.entered_start[q + 1]):
            entered[pool.entered_photo[e]] = True
            entry[pool.entered_photo[e]] = pool.entered_similarity[e]
        row_of[:] = -1
        rows = 0
        for c in range(-1, pool.near.shape[1]):
            p = m if c < 0 else pool.near[q, c]
            if p < 0:
                continue
            n_near = 1 + others(p, k2 - 1, index, similarity, entered, entry, pool.near[q], neighbours[1:])
            neighbours[0] = p
            n_touched = 0
            into = query_code if c < 0 else photo_code
            for i in range(n_near):
                x = neighbours[i]
                if row_of[x] < 0:
                    row_start = room(row_start, rows + 1, 1)
                    at = row_start[rows]
                    length = reciprocal(x, k1, index, similarity, entered, entry, pool.near[q], base)
                    member = room(member, at, (k1 + 1) * (half + 2))
                    weight = room(weight, at, (k1 + 1) * (half + 2))
                    token += 1
                    for j in range(length):
                        in_base[base[j]] = token
                        in_set[base[j]] = token
                        member[at] = base[j]
                        at += 1
                    for j in range(length):
                        more = reciprocal(base[j], half, index, similarity, entered, entry, pool.near[q], inner)
                        common = 0
                        for s in range(more):
                            common += in_base[inner[s]] == token
                        if 3 * common >= 2 * more:
                            for s in range(more):
                                if in_set[inner[s]] != token:
                                    in_set[inner[s]] = token
                                    member[at] = inner[s]
                                    at += 1
                    total = 0.0
                    for j in range(row_start[rows], at):
                        y = member[j]
                        if x == y:
                            value = 1.0
                        elif max(x, y) == m:
                            value = _lookup(pool.paired_photo, pool.paired_value, pool.paired_start, q, min(x, y))
                        else:
                            value = _lookup(pool.pair_other, pool.pair_value, pool.pair_start, x, y)
                            if np.isnan(value):
                                key = x * m + y
                                value = _lookup(pool.between_key, pool.between_value, pool.between_start, q, key)
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
                    shared += min(query_code[touched[j]], photo_code[touched[j]])
                    photo_code[touched[j]] = 0.0
                # both sum to 1, so the sum of the larger ones is 2 less that of the smaller ones
                out[q, c] = shared / (2.0 - shared)
        query_code[:] = 0.0
        for e in range(pool.entered_start[q], pool.entered_start[q + 1]):
            entered[pool.entered_photo[e]] = False


@kernel(parallel=True)
def jaccard(pool: Pool, k1: int, k2: int, half: int, out: np.ndarray) -> None:
    """1 less the Jaccard distance of each query and the photos in its row of `pool.near`."""
    # a small loop around a large function: compilers take much longer over a large loop
    n = len(out)
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        _chunk(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), pool, k1, k2, half, out)
