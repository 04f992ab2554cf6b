"""The compiled loops behind k-reciprocal encoding: who is in whose set.

The pool of a query is the gallery and the query itself, which stands as photo number m behind the m gallery photos.
Each gallery photo's list of nearest others is known without the query. Where the query is nearer than the last of a
list, it has entered: it stands before the first that is less similar, and the last falls out. So no list is copied.
"""

from __future__ import annotations

import numpy as np

from postproc.compiled import kernel


@kernel()
def others(
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


@kernel()
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


@kernel()
def reciprocal(
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
    n_others = others(p, k, index, similarity, entered, entry, near, out[1:])
    out[0] = p
    n = 1
    for j in range(1, n_others + 1):
        if _holds(out[j], k, p, index, similarity, entered, entry, near):
            out[n] = out[j]
            n += 1
    return n


@kernel()
def room(array: np.ndarray, used: int, more: int) -> np.ndarray:
    """The array, or a larger copy where `more` numbers do not fit behind the used ones."""
    if used + more <= len(array):
        return array
    larger = np.empty(max(2 * len(array), used + more), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger


@kernel()
def gallery_pairs(index: np.ndarray, similarity: np.ndarray, k1: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of gallery photos that may be in one expanded set, whatever the query: start of each photo's, others.

    A query only pushes photos out of lists, so the sets without it, expanded without condition, hold all others.
    """
    m = len(index)
    nobody, entry, near = np.zeros(m, dtype=np.bool_), np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
    base, inner = np.empty(k1 + 1, dtype=np.int64), np.empty(k1 + 1, dtype=np.int64)
    stamp = np.full(m, -1, dtype=np.int64)
    start = np.zeros(m + 1, dtype=np.int64)
    other = np.empty(max(16, m * k1), dtype=np.int32)
    for p in range(m):
        n = start[p]
        stamp[p] = p
        length = reciprocal(p, k1, index, similarity, nobody, entry, near, base)
        other = room(other, n, (k1 + 1) * (half + 1))
        for i in range(length):
            if stamp[base[i]] != p:
                stamp[base[i]] = p
                other[n] = base[i]
                n += 1
        for i in range(1, length):
            more = reciprocal(base[i], half, index, similarity, nobody, entry, near, inner)
            for j in range(more):
                if stamp[inner[j]] != p:
                    stamp[inner[j]] = p
                    other[n] = inner[j]
                    n += 1
        other[start[p] : n].sort()
        start[p + 1] = n
    return start, other[: start[m]].copy()


@kernel()
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
    inner = np.empty(k1 + 1, dtype=np.int64)
    stamp = np.full(m + 1, -1, dtype=np.int64)
    own_start, between_start = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    paired, between = np.empty(max(16, n * 4 * k1), dtype=np.int32), np.empty(max(16, n * 4 * k1), dtype=np.int64)
    for q in range(n):
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = True
            entry[entered_photo[e]] = entered_similarity[e]
        n_wide = reciprocal(m, k1, index, similarity, entered, entry, near[q], wide)
        n_narrow = reciprocal(m, half, index, similarity, entered, entry, near[q], narrow)
        at = own_start[q]
        paired = room(paired, at, 2 * (k1 + 1) * (k1 + 1))
        stamp[m] = q
        for kind in range(2):
            for i in range(1, n_wide if kind == 0 else n_narrow):
                h, k = (wide[i], half) if kind == 0 else (narrow[i], k1)
                length = reciprocal(h, k, index, similarity, entered, entry, near[q], inner)
                for j in range(length):
                    if stamp[inner[j]] != q:
                        stamp[inner[j]] = q
                        paired[at] = inner[j]
                        at += 1
        paired[own_start[q] : at].sort()
        own_start[q + 1] = at
        at = between_start[q]
        between = room(between, at, n_wide * n_narrow)
        for i in range(1, n_wide):
            for j in range(1, n_narrow):
                if wide[i] != narrow[j]:
                    between[at] = wide[i] * m + narrow[j]
                    at += 1
        between[between_start[q] : at].sort()
        between_start[q + 1] = at
        for e in range(entered_start[q], entered_start[q + 1]):
            entered[entered_photo[e]] = False
    return own_start, paired[: own_start[n]].copy(), between_start, between[: between_start[n]].copy()
