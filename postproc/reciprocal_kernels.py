"""The compiled loops behind k-reciprocal encoding.

The pool of a query is the gallery and the query itself, which stands as photo number m behind the m gallery photos.
Each gallery photo's list of nearest others is known without the query. Where the query is nearer than the last of a
list, it has entered: it stands before the first that is less similar, and the last falls out. So no list is copied.
"""

from __future__ import annotations

import numba
import numpy as np

_CHUNK = 64


@numba.njit(cache=True)
def _others(
    p: int,
    k: int,
    index: np.ndarray,
    similarity: np.ndarray,
    entered: np.ndarray,
    entry: np.ndarray,
    near: np.ndarray,
    out: np.ndarray,
) -> int:
    """The k nearest others of p in the pool, to `out`; how many there are."""
    n = 0
    if p == len(index):
        for j in range(k):
            if near[j] >= 0:
                out[n] = near[j]
                n += 1
        return n
    waiting = entered[p]
    for j in range(k):
        if n < k and waiting and entry[p] > similarity[p, j]:
            out[n] = len(index)
            n += 1
            waiting = False
        if n == k or index[p, j] < 0:
            break
        out[n] = index[p, j]
        n += 1
    return n


@numba.njit(cache=True)
def _holds(
    p: int,
    k: int,
    x: int,
    index: np.ndarray,
    similarity: np.ndarray,
    entered: np.ndarray,
    entry: np.ndarray,
    near: np.ndarray,
) -> bool:
    """Whether x is among the k nearest others of p in the pool."""
    me = len(index)
    if p == me:
        for j in range(k):  # noqa: SIM110 - compiled
            if near[j] == x:
                return True
        return False
    before = entered[p] and entry[p] > similarity[p, k - 1]
    if x == me:
        return bool(before)
    for j in range(k - 1 if before else k):  # noqa: SIM110 - compiled
        if index[p, j] == x:
            return True
    return False


@numba.njit(cache=True)
def _reciprocal(
    p: int,
    k: int,
    index: np.ndarray,
    similarity: np.ndarray,
    entered: np.ndarray,
    entry: np.ndarray,
    near: np.ndarray,
    out: np.ndarray,
) -> int:
    """R(p, k): p and those of its k nearest that have p among theirs, to `out`; how many they are."""
    found = _others(p, k, index, similarity, entered, entry, near, out[1:])
    out[0] = p
    n = 1
    for j in range(1, found + 1):
        if _holds(out[j], k, p, index, similarity, entered, entry, near):
            out[n] = out[j]
            n += 1
    return n


@numba.njit(cache=True)
def _room(array: np.ndarray, used: int, more: int) -> np.ndarray:
    """The array, or a larger copy where `more` numbers do not fit behind the used ones."""
    if used + more <= len(array):
        return array
    larger = np.empty(max(2 * len(array), used + more), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger


@numba.njit(cache=True)
def gallery_pairs(index: np.ndarray, similarity: np.ndarray, k1: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of gallery photos that may be in one expanded set, whatever the query: start of each photo's, others.

    A query only pushes photos out of lists, so the sets without it, expanded without condition, hold all others.
    """
    m = len(index)
    nobody, entry, near = np.zeros(m, dtype=np.bool_), np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
    base, some = np.empty(k1 + 1, dtype=np.int64), np.empty(k1 + 1, dtype=np.int64)
    stamp = np.full(m, -1, dtype=np.int64)
    start = np.zeros(m + 1, dtype=np.int64)
    other = np.empty(max(16, m * k1), dtype=np.int32)
    for p in range(m):
        n = start[p]
        stamp[p] = p
        length = _reciprocal(p, k1, index, similarity, nobody, entry, near, base)
        other = _room(other, n, (k1 + 1) * (half + 1))
        for i in range(length):
            if stamp[base[i]] != p:
                stamp[base[i]] = p
                other[n] = base[i]
                n += 1
        for i in range(1, length):
            more = _reciprocal(base[i], half, index, similarity, nobody, entry, near, some)
            for j in range(more):
                if stamp[some[j]] != p:
                    stamp[some[j]] = p
                    other[n] = some[j]
                    n += 1
        other[start[p] : n].sort()
        start[p + 1] = n
    return start, other[: start[m]].copy()


@numba.njit(cache=True)
def query_pairs(
    index: np.ndarray,
    similarity: np.ndarray,
    near: np.ndarray,
    entered_start: np.ndarray,
    entered_photo: np.ndarray,
    entered_similarity: np.ndarray,
    k1: int,
    half: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that matter because of a query: of itself with photos, and of photos that both are near it.

    Returns the start of each query's first kind and their photos, then the start of the second kind and, as
    `photo * m + photo`, the pairs.
    """
    n, m = len(near), len(index)
    entered, entry = np.zeros(m, dtype=np.bool_), np.empty(m, dtype=np.float32)
    wide, narrow = np.empty(k1 + 1, dtype=np.int64), np.empty(k1 + 1, dtype=np.int64)
    some = np.empty(k1 + 1, dtype=np.int64)
    stamp = np.full(m + 1, -1, dtype=np.int64)
    own_start, between_start = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    own, between = np.empty(max(16, n * 4 * k1), dtype=np.int32), np.empty(max(16, n * 4 * k1), dtype=np.int64)
    for q in range(n):
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = True
            entry[entered_photo[e]] = entered_similarity[e]
        n_wide = _reciprocal(m, k1, index, similarity, entered, entry, near[q], wide)
        n_narrow = _reciprocal(m, half, index, similarity, entered, entry, near[q], narrow)
        at = own_start[q]
        own = _room(own, at, 2 * (k1 + 1) * (k1 + 1))
        stamp[m] = q
        for kind in range(2):
            for i in range(1, n_wide if kind == 0 else n_narrow):
                h, k = (wide[i], half) if kind == 0 else (narrow[i], k1)
                length = _reciprocal(h, k, index, similarity, entered, entry, near[q], some)
                for j in range(length):
                    if stamp[some[j]] != q:
                        stamp[some[j]] = q
                        own[at] = some[j]
                        at += 1
        own[own_start[q] : at].sort()
        own_start[q + 1] = at
        at = between_start[q]
        between = _room(between, at, n_wide * n_narrow)
        for i in range(1, n_wide):
            for j in range(1, n_narrow):
                if wide[i] != narrow[j]:
                    between[at] = wide[i] * m + narrow[j]
                    at += 1
        between[between_start[q] : at].sort()
        between_start[q + 1] = at
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = False
    return own_start, own[: own_start[n]].copy(), between_start, between[: between_start[n]].copy()


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
            n_near = 1 + _others(p, k2 - 1, index, similarity, entered, entry, near[q], neighbours[1:])
            neighbours[0] = p
            n_touched = 0
            into = mine if c < 0 else theirs
            for i in range(n_near):
                x = neighbours[i]
                if row_of[x] < 0:
                    row_start = _room(row_start, rows + 1, 1)
                    at = row_start[rows]
                    length = _reciprocal(x, k1, index, similarity, entered, entry, near[q], base)
                    member = _room(member, at, (k1 + 1) * (half + 2))
                    weight = _room(weight, at, (k1 + 1) * (half + 2))
                    token += 1
                    for j in range(length):
                        in_base[base[j]] = token
                        in_set[base[j]] = token
                        member[at] = base[j]
                        at += 1
                    for j in range(length):
                        more = _reciprocal(base[j], half, index, similarity, entered, entry, near[q], some)
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
