"""The compiled loops behind the conditional logit: moments and scaling of traits, shares, slopes, curvature.

Queries are cut into chunks of a fixed length, each summed by itself: no result depends on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from postproc.compiled import kernel

_ROWS = 4096


@kernel(parallel=True)
def weighted_sums(
    values: np.ndarray, weights: np.ndarray, centre: np.ndarray, squared: bool, known: np.ndarray, total: np.ndarray
) -> None:
    """Of each chunk of `_ROWS` rows and each column: weight of what is known, weighted sum of (value - centre) [^2]."""
    n, columns = values.shape
    for chunk in numba.prange(known.shape[0]):
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            if weights[i] > 0:
                for c in range(columns):
                    value = values[i, c] - centre[c]
                    if not np.isnan(value):
                        known[chunk, c] += weights[i]
                        total[chunk, c] += weights[i] * (value * value if squared else value)


def chunks_of(n: int) -> int:
    """How many chunks `weighted_sums` cuts n rows into."""
    return (n + _ROWS - 1) // _ROWS


@kernel(parallel=True)
def scale(
    values: np.ndarray, present: np.ndarray, centre: np.ndarray, spread: np.ndarray, reach: float, out: np.ndarray
) -> None:
    """Centre, scale and bound (rows, columns) traits; at the mean (0) stands what is not known and who is not there."""
    for i in numba.prange(values.shape[0]):
        for c in range(values.shape[1]):
            value = (values[i, c] - centre[c]) / spread[c]
            out[i, c] = min(max(value, -reach), reach) if present[i] and not np.isnan(value) else 0.0


@kernel(inline="always")
def _shares(
    x: np.ndarray,
    z: np.ndarray,
    present: np.ndarray,
    candidate: np.ndarray,
    new: np.ndarray,
    missed: np.ndarray,
    share: np.ndarray,
) -> float:
    """Fill one query's shares of outcomes; returns the log of the sum of exp(utility)."""
    places, columns = x.shape
    share[places] = 0.0
    share[places + 1] = 0.0
    for c in range(z.shape[0]):
        share[places] += z[c] * new[c]
        share[places + 1] += z[c] * missed[c]
    top = max(share[places], share[places + 1])
    for j in range(places):
        utility = 0.0
        for c in range(columns):
            utility += x[j, c] * candidate[c]
        share[j] = utility
        if present[j]:
            top = max(top, utility)
    total = 0.0
    for j in range(places + 2):
        share[j] = np.exp(share[j] - top) if j >= places or present[j] else 0.0
        total += share[j]
    for j in range(places + 2):
        share[j] /= total
    return float(top + np.log(total))


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def fill_shares(
    x: np.ndarray,
    z: np.ndarray,
    present: np.ndarray,
    species: np.ndarray,
    candidate: np.ndarray,
    new: np.ndarray,
    missed: np.ndarray,
    share: np.ndarray,
) -> None:
    """Shares of every query's outcomes; coefficients of candidates and of somebody new have a row each species."""
    for i in numba.prange(x.shape[0]):
        _shares(x[i], z[i], present[i], candidate[species[i]], new[species[i]], missed, share[i])


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def fill_slopes(
    x: np.ndarray,
    z: np.ndarray,
    present: np.ndarray,
    outcome: np.ndarray,
    weights: np.ndarray,
    edges: np.ndarray,
    species: np.ndarray,
    candidate: np.ndarray,
    new: np.ndarray,
    missed: np.ndarray,
    share: np.ndarray,
    mean: np.ndarray,
    loss: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Shares and mean traits of each query; loss and its slope, summed within each chunk.

    `edges` are the chunks' first queries and the end, `species` the species that all queries of a chunk are of. `mean`
    is (queries, traits), `slope` (chunks, traits + 2 x query traits): of candidates, somebody new, somebody missed.
    """
    places, columns = x.shape[1:]
    width = z.shape[1]
    for chunk in numba.prange(len(edges) - 1):
        of_candidate, of_new = candidate[species[chunk]], new[species[chunk]]
        loss[chunk] = 0.0
        slope[chunk] = 0.0
        for i in range(edges[chunk], edges[chunk + 1]):
            log_total = _shares(x[i], z[i], present[i], of_candidate, of_new, missed, share[i])
            mean[i] = 0.0
            for j in range(places):
                if share[i, j] > 0:
                    for c in range(columns):
                        mean[i, c] += share[i, j] * x[i, j, c]
            came, utility = outcome[i], 0.0
            if came < places:
                for c in range(columns):
                    utility += x[i, came, c] * of_candidate[c]
                    slope[chunk, c] -= weights[i] * x[i, came, c]
            elif came == places:
                for c in range(width):
                    utility += z[i, c] * of_new[c]
            else:
                for c in range(width):
                    utility += z[i, c] * missed[c]
            for c in range(columns):
                slope[chunk, c] += weights[i] * mean[i, c]
            residual_new = weights[i] * (share[i, places] - (came == places))
            residual_missed = weights[i] * (share[i, places + 1] - (came == places + 1))
            for c in range(width):
                slope[chunk, columns + c] += residual_new * z[i, c]
                slope[chunk, columns + width + c] += residual_missed * z[i, c]
            loss[chunk] += weights[i] * (log_total - utility)


@kernel(fastmath={"contract"})
def fill_curvature(
    x: np.ndarray,
    z: np.ndarray,
    weights: np.ndarray,
    share: np.ndarray,
    mean: np.ndarray,
    start: int,
    stop: int,
    least: float,
    of_candidates: np.ndarray,
    of_queries: np.ndarray,
    of_new: np.ndarray,
    of_missed: np.ndarray,
) -> int:
    """Rows whose products are the curvature of the queries from `start` to `stop`; returns how many candidates' rows.

    A candidate's row is its traits times the root of weight times share; candidates whose share is below `least` are
    left out. A query's row (what is subtracted) is the mean over its outcomes times the root of its weight.
    """
    places, columns = x.shape[1:]
    width = z.shape[1]
    n = 0
    for i in range(start, stop):
        root, q = np.sqrt(weights[i]), i - start
        for j in range(places):
            if share[i, j] > least:
                factor = root * np.sqrt(share[i, j])
                for c in range(columns):
                    of_candidates[n, c] = factor * x[i, j, c]
                n += 1
        for c in range(columns):
            of_queries[q, c] = root * mean[i, c]
        new, missed = share[i, places], share[i, places + 1]
        root_new, root_missed = root * np.sqrt(new), root * np.sqrt(missed)
        for c in range(width):
            of_queries[q, columns + c] = root * new * z[i, c]
            of_queries[q, columns + width + c] = root * missed * z[i, c]
            of_new[q, c] = root_new * z[i, c]
            of_missed[q, c] = root_missed * z[i, c]
    return n
