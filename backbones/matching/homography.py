"""The homography that explains most matches: OpenCV's MAGSAC, held to the rules of the affine maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backbones.matching.affine_kernels import is_plausible
from cv.extras import load_extra

Array = NDArray[np.float64]


def best_homography(
    query: Array, gallery: Array, thresholds: tuple[float, float], max_rotation: float
) -> tuple[Array | None, NDArray[np.bool_]]:
    """Find the map from matched points (m, 2), thresholds in pixels of either photo, rotation in radians.

    MAGSAC (Barath et al. 2020) draws from a state of its own that starts at 0 in every call: answers depend neither on
    `cv2.setRNGSeed` nor on other threads.

    Returns
    -------
    homography : (3, 3) or None
        None if fewer than four matches agree on a plausible map.
    inliers : (m,) bool
        Within the threshold in both photos.

    Raises
    ------
    FinblendError
        If OpenCV is not installed.
    """
    nothing = np.zeros(len(query), np.bool_)
    if len(query) < 4:
        return None, nothing
    cv2 = load_extra("cv2", "photos")
    estimate, _ = cv2.findHomography(query, gallery, cv2.USAC_MAGSAC, thresholds[1], maxIters=2000, confidence=0.99)
    if estimate is None or abs(np.linalg.det(estimate)) < 1e-12:
        return None, nothing
    homography = np.asarray(estimate, dtype=np.float64)
    moved, depth = _apply(homography, query)
    back, _ = _apply(np.asarray(np.linalg.inv(homography), dtype=np.float64), gallery)
    inliers = (
        (depth > 0)
        & (np.linalg.norm(moved - gallery, axis=1) <= thresholds[1])
        & (np.linalg.norm(back - query, axis=1) <= thresholds[0])
    )
    if np.count_nonzero(inliers) < 4:
        return None, nothing
    a, b, c, d = _derivative(homography, query[inliers].mean(axis=0)).ravel()
    return (homography, inliers) if is_plausible(a, b, c, d, max_rotation) else (None, nothing)


def _apply(homography: Array, points: Array) -> tuple[Array, Array]:
    """Where points (m, 2) go, and their depth: at or below 0, they lie on or behind the horizon."""
    lifted = points @ homography[:, :2].T + homography[:, 2]
    depth = lifted[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return lifted[:, :2] / depth[:, None], depth


def _derivative(homography: Array, point: Array) -> Array:
    """(2, 2): what the map does to the neighbourhood of a point."""
    x, y, depth = homography[:, :2] @ point + homography[:, 2]
    moved = np.array([x, y]) / depth
    return np.asarray((homography[:2, :2] - moved[:, None] * homography[2, :2]) / depth)
