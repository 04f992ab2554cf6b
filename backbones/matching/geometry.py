"""Which matches one map of the plane explains: marks on one animal move together, chance matches do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbones.matching.affine_kernels import best_affine, proposals_of_couples, proposals_of_frames
from backbones.matching.homography import best_homography
from cv.errors import FinblendError

Model = Literal["affine", "homography", "none"]
MODELS: tuple[Model, ...] = ("affine", "homography", "none")
MAX_COUPLES = 3000


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What geometry says of the matches of two photos.

    Parameters
    ----------
    inliers : (m,) bool
        The matches that `transform` explains.
    spread : float
        How much of the photo they cover, of the two photos the smaller: square root of the determinant of the inliers'
        covariance over that of all keypoints; 0 for fewer than three. About 1 where inliers lie as all keypoints do.
    transform : (2, 3) or (3, 3) float64, or None
        From the query's pixels to the gallery's; None for the model "none", and where no map explains two matches.
    """

    inliers: NDArray[np.bool_]
    spread: float
    transform: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        if self.inliers.ndim != 1 or self.inliers.dtype != np.bool_:
            raise FinblendError(f"inliers must be (m,) bool, but are {self.inliers.shape} {self.inliers.dtype}")
        if not self.spread >= 0:
            raise FinblendError(f"`spread >= 0` must hold, but got spread={self.spread}")
        if self.transform is not None and self.transform.shape not in {(2, 3), (3, 3)}:
            raise FinblendError(f"transform must be (2, 3) or (3, 3), but is {self.transform.shape}")

    @property
    def count(self) -> int:
        """How many inliers there are."""
        return int(np.count_nonzero(self.inliers))


def pixel_threshold(size: tuple[int, int], share: float = 0.015) -> float:
    """Pixels that a match may be off in a photo of this size (width, height): a share of its diagonal.

    Examples
    --------
    >>> pixel_threshold((400, 300))
    7.5
    """
    return share * float(np.hypot(*size))


def extent(points: NDArray[np.floating]) -> float:
    """Area that points (n, 2 or more columns: x, y, ...) cover: square root of the determinant of their covariance.

    0 for fewer than three points, for they always lie on a line.

    Examples
    --------
    >>> extent(np.array([[0, 0], [2, 0], [0, 2], [2, 2]], float))
    1.0
    """
    if len(points) < 3:
        return 0.0
    x, y = (points[:, :2].astype(np.float64) - points[:, :2].mean(axis=0, dtype=np.float64)).T
    return float(np.sqrt(max((x @ x) * (y @ y) - (x @ y) ** 2, 0.0)) / len(points))


def verify(
    points_query: NDArray[np.floating],
    points_gallery: NDArray[np.floating],
    model: Model = "affine",
    *,
    threshold: float | tuple[float, float],
    extents: tuple[float, float] | None = None,
    max_rotation: float = 30.0,
) -> Verification:
    """Find the map that explains most matches, and the matches that it explains.

    "affine": every match proposes the similarity that its keypoints' scale and angle give (Philbin et al. 2007; Crall
    et al. 2013); without scales and angles, two matches propose it together, the surest first. The others vote, and
    least squares makes the best proposals affine maps. Nothing is drawn at random. Maps that no camera makes of an
    animal are refused: mirrored, scaled by more than 4, stretched by more than 3, turned by more than `max_rotation`.
    "homography": OpenCV's MAGSAC with a fixed seed; refused by the same rules at the inliers' centre. "none": all
    matches count.

    Parameters
    ----------
    points_query, points_gallery : (m, 2) or (m, 4)
        Matched keypoints, row by row, by falling confidence: x, y, and scale and angle in degrees where there are any
        (an angle below 0 is unknown).
    threshold : float or (float, float)
        Pixels that a match may be off in the query's and in the gallery's photo; see `pixel_threshold`.
    extents : (float, float), optional
        `extent` of all keypoints of the query's and the gallery's photo; without it, of the matched ones.
    max_rotation : float
        Degrees in (0, 180]; animals are mostly photographed upright, and 30 keeps most chance maps away. Say 180 for
        photos from above.

    Raises
    ------
    FinblendError
        If shapes, model, threshold or rotation break a rule.

    Examples
    --------
    Four matches moved by (5, 2), and one that did not:

    >>> query = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [4, 1]], float)
    >>> gallery = np.array([[5, 2], [14, 2], [5, 11], [14, 11], [0, 9]], float)
    >>> verify(query, gallery, threshold=1.0).inliers
    array([ True,  True,  True,  True, False])
    """
    query, gallery = (np.ascontiguousarray(points, dtype=np.float64) for points in (points_query, points_gallery))
    thresholds = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    thresholds = (float(thresholds[0]), float(thresholds[1]))
    _refuse(query, gallery, model, thresholds, max_rotation)
    transform: NDArray[np.float64] | None = None
    if model == "none":
        inliers = np.ones(len(query), np.bool_)
    elif model == "homography":
        transform, inliers = best_homography(query[:, :2], gallery[:, :2], thresholds, np.deg2rad(max_rotation))
    else:
        if _have_frames(query) and _have_frames(gallery):
            proposals = proposals_of_frames(query, gallery)
        else:
            proposals = proposals_of_couples(query, gallery, min(len(query) * (len(query) - 1) // 2, MAX_COUPLES))
        affine, inliers = best_affine(query, gallery, proposals, thresholds, np.deg2rad(max_rotation))
        transform = affine.reshape(2, 3) if inliers.any() else None
    wholes = extents if extents is not None else (extent(query), extent(gallery))
    parts = (extent(query[inliers]), extent(gallery[inliers]))
    spread = min(part / whole if whole > 0 else 0.0 for part, whole in zip(parts, wholes, strict=True))
    return Verification(inliers=inliers, spread=spread, transform=transform)


def _have_frames(points: NDArray[np.float64]) -> bool:
    """Whether scales and angles were measured; detectors that do not know the angle write -1."""
    return points.shape[1] == 4 and bool((points[:, 2] > 0).all() and (points[:, 3] >= 0).all())


def _refuse(
    query: NDArray[np.float64],
    gallery: NDArray[np.float64],
    model: str,
    thresholds: tuple[float, float],
    max_rotation: float,
) -> None:
    """Say which rule the input breaks."""
    if query.shape != gallery.shape or query.ndim != 2 or query.shape[1] not in (2, 4):
        raise FinblendError(f"matched points must be (m, 2) or (m, 4) twice, but are {query.shape}, {gallery.shape}")
    if not (np.isfinite(query).all() and np.isfinite(gallery).all()):
        raise FinblendError("matched points must be finite")
    if model not in MODELS:
        raise FinblendError(f"model must be one of {', '.join(MODELS)}, but is {model}")
    if not all(0 < pixels < np.inf for pixels in thresholds):
        raise FinblendError(f"`threshold > 0` must hold, but got threshold={thresholds}")
    if not 0 < max_rotation <= 180:
        raise FinblendError(f"`0 < max_rotation <= 180` must hold, but got max_rotation={max_rotation}")
