"""The contract of matchers: local features of two photos become pairs of keypoints that may show the same mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cv.errors import FinblendError

Size = tuple[int, int]


class Features(Protocol):
    """What a matcher reads of a photo's local features.

    Attributes
    ----------
    keypoints : (n, 4) float32
        x, y, scale in pixels, and angle in degrees, -1 where it is unknown.
    descriptors : (n, d) float32
        Rows of length 1.
    """

    @property
    def keypoints(self) -> NDArray[np.float32]:
        """Where the features lie: x, y, scale, angle."""

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """What they look like: unit rows."""


@dataclass(frozen=True)
class Matches:
    """Keypoints of a query photo paired with keypoints of a gallery photo.

    Parameters
    ----------
    pairs : (m, 2) int32
        Indices into the query's and the gallery's keypoints; each index at most once on its side.
    confidence : (m,) float32
        In [0, 1], falling.

    Raises
    ------
    FinblendError
        If a rule above is broken.
    """

    pairs: NDArray[np.int32]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        pairs, confidence = self.pairs, self.confidence
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype != np.int32:
            raise FinblendError(f"pairs must be (m, 2) int32, but are {pairs.shape} {pairs.dtype}")
        if confidence.shape != (len(pairs),) or confidence.dtype != np.float32:
            rule = f"confidence must be ({len(pairs)},) float32"
            raise FinblendError(f"{rule}, but is {confidence.shape} {confidence.dtype}")
        if len(pairs) == 0:
            return
        # written so that NaN is refused, too
        if not (confidence[0] <= 1 and confidence[-1] >= 0 and (confidence[1:] <= confidence[:-1]).all()):
            raise FinblendError("confidence must be in [0, 1] and falling")
        if pairs.min() < 0 or any(len(set(side.tolist())) < len(pairs) for side in pairs.T):
            raise FinblendError("each index >= 0 must be in pairs at most once on its side")

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def sorted(cls, pairs: NDArray[np.integer], confidence: NDArray[np.floating]) -> Matches:
        """Put pairs of any order in falling confidence; equal ones keep their order."""
        order = np.argsort(-confidence, kind="stable")
        return cls(pairs[order].astype(np.int32), confidence[order].astype(np.float32))


class Matcher(Protocol):
    """Pairs up the keypoints of two photos; it knows no label.

    Attributes
    ----------
    name : str
        What it is called in tables and manifests.
    fingerprint : str
        Name and everything that changes its answers; two of one fingerprint answer alike.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def fingerprint(self) -> str:
        """What its answers depend on."""

    def match(self, query: Features, gallery: Features, sizes: tuple[Size, Size] | None = None) -> Matches:
        """Pair keypoints of the query with keypoints of the gallery photo.

        Parameters
        ----------
        query, gallery : Features
            Of n and of k keypoints; either may be 0.
        sizes : ((width, height), (width, height)), optional
            Of the query's and the gallery's photo in pixels; matchers that need them refuse None.
        """
