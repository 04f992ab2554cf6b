"""What an extractor of local features gives: where a photo's marks are, what they look like, how strong they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from cv.errors import FinblendError

UNKNOWN_ANGLE = -1.0
# rows may have been rounded on their way
_UNIT = 1e-3


@dataclass(frozen=True)
class LocalFeatures:
    """The local features of one photo, the strongest first.

    Attributes
    ----------
    keypoints : (n, 4) float32 array
        x, y, scale (diameter) in pixels of the photo that was given, the centre of its first pixel being (0, 0); angle
        in degrees, 0 <= angle < 360, or -1 where it is unknown.
    descriptors : (n, d) float32 array
        Rows of length 1.
    scores : (n,) float32 array
        Falling; their unit is the extractor's own.

    Raises
    ------
    FinblendError
        If shapes do not fit together, a number is not finite, a row's length is not 1, or scores rise.

    Examples
    --------
    >>> import numpy as np
    >>> features = LocalFeatures(np.float32([[4, 3, 6, 90], [9, 3, 6, -1]]), np.float32([[1, 0], [0, 1]]),
    ...                          np.float32([0.9, 0.2]))
    >>> len(features), features.width, features.inside((0, 0, 5, 5)).scores.tolist()
    (2, 2, [0.8999999761581421])
    """

    keypoints: np.ndarray
    descriptors: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        keypoints, descriptors, scores = self.keypoints, self.descriptors, self.scores
        n = len(keypoints)
        if keypoints.shape != (n, 4) or descriptors.ndim != 2 or len(descriptors) != n or scores.shape != (n,):
            raise FinblendError(
                "local features must be keypoints (n, 4), descriptors (n, d) and scores (n,), but got "
                f"{keypoints.shape}, {descriptors.shape} and {scores.shape}"
            )
        for name in ("keypoints", "descriptors", "scores"):
            array = getattr(self, name)
            if array.dtype != np.float32:
                raise FinblendError(f"local features: {name} must be float32, but got {array.dtype}")
            if not np.isfinite(array).all():
                raise FinblendError(f"local features: {name} hold a number that is not finite")
        length = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))
        wrong = np.flatnonzero(np.abs(length - 1) > _UNIT)
        if len(wrong):
            raise FinblendError(
                f"local features: descriptors must have length 1, but row {wrong[0]} has {length[wrong[0]]:.4g}"
            )
        if (np.diff(scores) > 0).any():
            raise FinblendError("local features: scores must fall, the strongest first")

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def width(self) -> int:
        """Number of a descriptor's parts."""
        return int(self.descriptors.shape[1])

    @classmethod
    def none(cls, width: int) -> LocalFeatures:
        """The features of a photo that shows nothing."""
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, width), np.float32), np.zeros(0, np.float32))

    @classmethod
    def strongest(cls, keypoints: np.ndarray, descriptors: np.ndarray, scores: np.ndarray, count: int) -> LocalFeatures:
        """Sort by falling score, equals in the order they come in, and keep `count` at most.

        Parameters
        ----------
        keypoints, descriptors, scores : array
            As above, in any order and of any float type.
        count : int
        """
        order = np.argsort(-scores, kind="stable")[:count]
        return cls(*(np.ascontiguousarray(array[order], np.float32) for array in (keypoints, descriptors, scores)))

    def take(self, rows: np.ndarray) -> LocalFeatures:
        """Some of them; `rows` are rising indices or a mask."""
        return LocalFeatures(self.keypoints[rows], self.descriptors[rows], self.scores[rows])

    def inside(self, box: tuple[float, float, float, float]) -> LocalFeatures:
        """Those whose place is in a box x1, y1, x2, y2 of the photo, edges included."""
        x, y = self.keypoints[:, 0], self.keypoints[:, 1]
        x1, y1, x2, y2 = box
        return self.take(np.flatnonzero((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)))


@runtime_checkable
class LocalExtractor(Protocol):
    """Finds and describes the marks of a photo; the same photo always gives the same.

    Attributes
    ----------
    name : str
        By which it is built.
    width : int
        Number of a descriptor's parts.
    fingerprint : str
        All that decides what it gives: parameters, versions of libraries and of its own code, a hash of weights.
        Features of another fingerprint are never mixed with these.
    in_workers : bool, optional
        It can be pickled, and copies of it work side by side in worker processes, each on one core; False where it is
        absent: it stays in the main process.
    """

    name: str
    width: int
    fingerprint: str

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        """Extract the features of a photo, (H, W, 3) uint8, RGB; at most as many as it was built for."""
        ...


class LocalBuilder(Protocol):
    """What an entry point of the group `finblend.local_features` points at."""

    def __call__(self, name: str, keypoints: int) -> LocalExtractor:
        """Build the extractor that `name` means, for at most `keypoints` features a photo; nothing is downloaded."""
        ...
