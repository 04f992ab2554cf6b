"""RootSIFT: the square roots of Lowe's descriptors, compared by their angle.

Descriptors whose parts sum to 1 are compared by Hellinger's kernel, the dot product of their square roots (Arandjelovic
and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backbones.local_features.contract import LocalFeatures
from cv.extras import load_extra

# of 400 asked for, 100 photos of fins and coats gave 345 in the mean at 0.02, 361 at 0.005, 362 at 0.002 and 0.001.
# OpenCV's `enable_precise_upscale` is left off: places are then off by a quarter of a pixel, but it leaves out 2 % of
# the keypoints, and retrieval by 236 seals, lions and nyalas was no better with it (MAP@5 0.249 against 0.264)
CONTRAST = 0.002
WIDTH = 128
# Smaller photos are enlarged to this many pixels on their long side, at most twice: their marks are few pixels wide,
# and SIFT looks for nothing finer. By votes of marks alone (LNBNN), lions of 300 pixels: MAP@5 0.347 as they are, 0.415
# one and a half times, 0.420 2.2 times as large
SMALL, MOST_ENLARGED = 640, 2.0


@dataclass(frozen=True)
class RootSift:
    """RootSIFT of the luminance, by OpenCV.

    Attributes
    ----------
    keypoints : int
        Features a photo, at most.
    contrast : float
        OpenCV's `contrastThreshold`: weaker extrema are none.
    """

    keypoints: int
    contrast: float = CONTRAST
    name: str = "sift"
    width: int = WIDTH
    # a photo takes one core: many go side by side
    in_workers: bool = True

    @property
    def fingerprint(self) -> str:
        """Parameters and OpenCV's version; whoever changes what `extract` does counts `rootsift-2` on."""
        return f"rootsift-2 {self.keypoints} contrast {self.contrast} opencv {_cv2().__version__}"

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        """Extract the strongest; keypoints at one place with several angles are several."""
        cv2 = _cv2()
        grey = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)
        enlarged = min(MOST_ENLARGED, max(1.0, SMALL / max(grey.shape)))
        if enlarged > 1.0:
            grey = cv2.resize(grey, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
        # unlike other objects of OpenCV's, this one costs nothing to make
        sift = cv2.SIFT_create(nfeatures=self.keypoints, contrastThreshold=self.contrast)
        found, histograms = sift.detectAndCompute(grey, None)
        if not found:
            return LocalFeatures.none(WIDTH)
        places = np.array([(*point.pt, point.size, point.angle) for point in found], dtype=np.float32)
        places[:, 3] %= 360
        if enlarged > 1.0:
            # (0, 0) is the middle of a pixel
            places[:, :2] = (places[:, :2] + 0.5) / enlarged - 0.5
            places[:, 2] /= enlarged
        scores = np.array([point.response for point in found], dtype=np.float32)
        total = histograms.sum(axis=1)
        # a keypoint on a plateau may have no gradient around it
        described = np.flatnonzero(total > 0)
        descriptors = np.sqrt(histograms[described] / total[described, None])
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        return LocalFeatures.strongest(places[described], descriptors, scores[described], self.keypoints)


def _cv2() -> Any:
    return load_extra("cv2", "photos")


def build(name: str, keypoints: int) -> RootSift:
    """Build RootSIFT; OpenCV is asked for now rather than at the first photo."""
    _cv2()
    return RootSift(keypoints, name=name)
