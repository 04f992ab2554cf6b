"""Mutual nearest neighbours that are clearly nearer than the next best (Lowe 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbones.matching.compiled import kernel
from backbones.matching.contract import Features, Matches, Size
from cv.errors import FinblendError

# products of float32 unit rows are no more exact; nearer than this is equal
_EXACTNESS = np.float32(1e-6)


@dataclass(frozen=True)
class RatioMatcher:
    """Lowe's ratio test on unit descriptors, passed in both directions.

    A query keypoint i and a gallery keypoint j match if each is the other's nearest and their Euclidean distance is
    less than `ratio` times that to the next best of either: to i's second neighbour in the gallery and to j's in the
    query. So the pairs of (a, b) are those of (b, a) turned round. Confidence is 1 - distance / the nearer next best.
    A photo with one keypoint has no next best, and nothing of it matches.

    Parameters
    ----------
    ratio : float
        In (0, 1]; at 1, mutual nearest neighbours without a test.

    References
    ----------
    Lowe, D. G. (2004). Distinctive image features from scale-invariant keypoints. IJCV 60 (2), section 7.1.

    Examples
    --------
    The second keypoint of the query looks like two of the gallery, and is left out:

    >>> from types import SimpleNamespace
    >>> query = SimpleNamespace(descriptors=np.eye(3, dtype=np.float32)[:2])
    >>> gallery = SimpleNamespace(descriptors=np.eye(3, dtype=np.float32)[[1, 1, 0]])
    >>> RatioMatcher(0.8).match(query, gallery).pairs.tolist()
    [[0, 2]]
    """

    ratio: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise FinblendError(f"`0 < ratio <= 1` must hold, but got ratio={self.ratio}")

    @property
    def name(self) -> str:
        """What it is called."""
        return "ratio"

    @property
    def fingerprint(self) -> str:
        """What its answers depend on."""
        return f"ratio-{self.ratio:g}"

    def match(self, query: Features, gallery: Features, sizes: tuple[Size, Size] | None = None) -> Matches:
        """Pair the keypoints of two photos; `sizes` are not needed.

        Raises
        ------
        FinblendError
            If the descriptors have different lengths: they are of two kinds.
        """
        first, second = query.descriptors, gallery.descriptors
        if len(first) == 0 or len(second) == 0:
            return Matches.sorted(np.empty((0, 2), np.int32), np.empty(0, np.float32))
        if first.shape[1] != second.shape[1]:
            raise FinblendError(f"descriptors of {first.shape[1]} and {second.shape[1]} numbers cannot be matched")
        return Matches.sorted(*_mutual(first @ second.T, np.float32(self.ratio)))


@kernel
def _mutual(
    similarity: NDArray[np.float32], ratio: np.float32
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:  # pragma: no cover - compiled
    """Pairs and confidence from (n, k) cosines, in the order of rows; distance^2 = 2 (1 - cosine)."""
    rows, columns = similarity.shape
    lowest = np.float32(-np.inf)
    best = np.full(columns, lowest)
    next_best = np.full(columns, lowest)
    row_best, row_next, nearest = np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.int32)
    for i in range(rows):
        first, second, at = lowest, lowest, 0
        for j in range(columns):
            value = similarity[i, j]
            if value > second:
                if value > first:
                    first, second, at = value, first, j
                else:
                    second = value
        # apart from the loop above, and without a branch: it runs on vector registers
        for j in range(columns):
            value = similarity[i, j]
            next_best[j] = max(next_best[j], min(best[j], value))
            best[j] = max(best[j], value)
        row_best[i], row_next[i], nearest[i] = first, second, at
    pairs, confidence, count = np.empty((rows, 2), np.int32), np.empty(rows, np.float32), 0
    if rows < 2 or columns < 2:
        return pairs[:0], confidence[:0]
    for i in range(rows):
        j = nearest[i]
        if best[j] == row_best[i]:
            distance = max(np.float32(1) - row_best[i], _EXACTNESS)
            other = max(np.float32(1) - max(row_next[i], next_best[j]), _EXACTNESS)
            if distance < ratio * ratio * other:
                pairs[count, 0], pairs[count, 1] = i, j
                confidence[count] = np.float32(1) - np.sqrt(distance / other)
                count += 1
    return pairs[:count], confidence[:count]
