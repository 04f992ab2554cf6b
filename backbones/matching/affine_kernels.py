"""The affine map that explains most matches: matches propose maps, all matches vote, least squares refines.

A map is six numbers (a, b, x, c, d, y): (p, q) goes to (a p + b q + x, c p + d q + y).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backbones.matching.compiled import kernel

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAX_SCALE = 4.0
MAX_STRETCH = 3.0
# measured scales and angles are not exact: a proposal is judged by matches within this many thresholds, which come down
# to one while it is refined
WIDE = 3.0
STEPS = 6
# of the determinant of the points' covariance over that of a round cloud: below it, they lie on a line
ROUNDNESS = 1e-3


@kernel
def is_plausible(a: float, b: float, c: float, d: float, max_rotation: float) -> bool:
    """Whether [[a, b], [c, d]] maps a photo of an animal to another one as a camera may see it.

    No mirroring; singular values in [1/4, 4] and their ratio at most 3; rotation (of the polar decomposition) within
    `max_rotation` radians. NaN is not plausible.
    """
    sum_of_both = np.hypot(a + d, c - b)
    difference = np.hypot(a - d, b + c)
    larger, smaller = (sum_of_both + difference) / 2, (sum_of_both - difference) / 2
    if not (larger <= MAX_SCALE and smaller >= 1 / MAX_SCALE and larger <= MAX_STRETCH * smaller):
        return False
    return bool(abs(np.arctan2(c - b, a + d)) <= max_rotation)


@kernel
def proposals_of_frames(query: Array, gallery: Array) -> Array:
    """(m, 6): the similarity that takes each match's position, scale and angle (m, 4; degrees) to the gallery's."""
    maps = np.empty((len(query), 6))
    for k in range(len(query)):
        scale, turn = gallery[k, 2] / query[k, 2], np.deg2rad(gallery[k, 3] - query[k, 3])
        a, c = scale * np.cos(turn), scale * np.sin(turn)
        p, q = query[k, 0], query[k, 1]
        maps[k] = np.array([a, -c, gallery[k, 0] - a * p + c * q, c, a, gallery[k, 1] - c * p - a * q])
    return maps


@kernel
def proposals_of_couples(query: Array, gallery: Array, limit: int) -> Array:
    """(<= limit, 6): the similarity that takes two matches' positions to the gallery's, the surest matches first."""
    maps, count = np.empty((limit, 6)), 0
    for j in range(len(query)):
        for i in range(j):
            p, q = query[j, 0] - query[i, 0], query[j, 1] - query[i, 1]
            u, v = gallery[j, 0] - gallery[i, 0], gallery[j, 1] - gallery[i, 1]
            square = p * p + q * q
            if count < limit and square > 0:
                a, c = (p * u + q * v) / square, (p * v - q * u) / square
                p, q = query[j, 0], query[j, 1]
                maps[count] = np.array([a, -c, gallery[j, 0] - a * p + c * q, c, a, gallery[j, 1] - c * p - a * q])
                count += 1
    return maps[:count]


@kernel
def support(query: Array, gallery: Array, affine: Array, thresholds: tuple[float, float], inliers: Flags) -> float:
    """Mark the matches that a map explains, in both photos, and say how well: the sum of 1 - (error / threshold)^2.

    The error in the query's photo counts, too: else a map that shrinks all to a point would explain everything.
    """
    a, b, x, c, d, y = affine
    determinant, total = a * d - b * c, 0.0
    for k in range(len(query)):
        u = a * query[k, 0] + b * query[k, 1] + x - gallery[k, 0]
        v = c * query[k, 0] + d * query[k, 1] + y - gallery[k, 1]
        p, q = (d * u - b * v) / determinant, (a * v - c * u) / determinant
        error = max((p * p + q * q) / thresholds[0] ** 2, (u * u + v * v) / thresholds[1] ** 2)
        inliers[k] = error <= 1
        if error <= 1:
            total += 1 - error
    return total


@kernel
def least_squares(query: Array, gallery: Array, chosen: Flags, affine: Array) -> bool:
    """Fit a map to the chosen matches; False if they are fewer than three or lie on a line."""
    count, centre = 0, np.zeros(4)
    for k in range(len(query)):
        if chosen[k]:
            count += 1
            centre[:2] += query[k, :2]
            centre[2:] += gallery[k, :2]
    if count < 3:
        return False
    p0, q0, u0, v0 = centre / count
    pp = pq = qq = pu = qu = pv = qv = 0.0
    for k in range(len(query)):
        if chosen[k]:
            p, q, u, v = query[k, 0] - p0, query[k, 1] - q0, gallery[k, 0] - u0, gallery[k, 1] - v0
            pp, pq, qq = pp + p * p, pq + p * q, qq + q * q
            pu, qu, pv, qv = pu + p * u, qu + q * u, pv + p * v, qv + q * v
    determinant = pp * qq - pq * pq
    if determinant <= ROUNDNESS * (pp + qq) ** 2 / 4:
        return False
    a, b = (pu * qq - qu * pq) / determinant, (qu * pp - pu * pq) / determinant
    c, d = (pv * qq - qv * pq) / determinant, (qv * pp - pv * pq) / determinant
    affine[:] = np.array([a, b, u0 - a * p0 - b * q0, c, d, v0 - c * p0 - d * q0])
    return True


@kernel
def best_affine(
    query: Array, gallery: Array, proposals: Array, thresholds: tuple[float, float], max_rotation: float
) -> tuple[Array, Flags]:
    """Try all proposals; one with more support than all before it is refined on its inliers (Chum et al. 2003).

    Support is counted within wide thresholds, which come down step by step while least squares follows, and of the maps
    that are reached so, the one with most support within the thresholds themselves is taken.

    Returns
    -------
    affine : (6,)
        Zeros if no plausible proposal explains two matches.
    inliers : (m,) bool
    """
    best, best_total, best_wide_total = np.zeros(6), 0.0, 0.0
    best_inliers, inliers = np.zeros(len(query), np.bool_), np.zeros(len(query), np.bool_)
    for proposal in proposals:
        if not is_plausible(proposal[0], proposal[1], proposal[3], proposal[4], max_rotation):
            continue
        wide_total = support(query, gallery, proposal, (WIDE * thresholds[0], WIDE * thresholds[1]), inliers)
        if wide_total <= best_wide_total or inliers.sum() < 2:
            continue
        best_wide_total = wide_total
        affine = proposal.copy()
        for step in range(STEPS + 1):
            factor = max(WIDE - step * (WIDE - 1) / (STEPS // 2), 1.0)
            total = support(query, gallery, affine, (factor * thresholds[0], factor * thresholds[1]), inliers)
            if factor == 1.0 and total > best_total and inliers.sum() >= 2:
                best_total = total
                best[:], best_inliers[:] = affine, inliers
            previous = affine.copy()
            if not (
                least_squares(query, gallery, inliers, affine)
                and is_plausible(affine[0], affine[1], affine[3], affine[4], max_rotation)
            ):
                affine[:] = previous
    return best, best_inliers
