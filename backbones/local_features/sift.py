"""RootSIFT: the square roots of Lowe's descriptors, compared by their angle.

Descriptors whose parts sum to 1 are compared by Hellinger's kernel, the dot product of their square roots (Arandjelovic
and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backbones.local_features.contract import LocalFeatures
from backbones.vision import INSTALL_PHOTOS, load

# of 400 asked for, 100 photos of fins and coats gave 345 in the mean at 0.02, 361 at 0.005, 362 at 0.002 and 0.001.
# OpenCV's `enable_precise_upscale` is left off: places are then off by a quarter of a pixel, but it leaves out 2 % of
# the keypoints, and retrieval by 236 seals, lions and nyalas was no better with it (MAP@5 0.249 against 0.264)
CONTRAST = 0.002
WIDTH = 128


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
        """Parameters and OpenCV's version; whoever changes what `extract` does counts `rootsift-1` on."""
        return f"rootsift-1 {self.keypoints} contrast {self.contrast} opencv {_cv2().__version__}"

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        """Extract the strongest; keypoints at one place with several angles are several."""
        cv2 = _cv2()
        grey = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)
        # unlike other objects of OpenCV's, this one costs nothing to make
        sift = cv2.SIFT_create(nfeatures=self.keypoints, contrastThreshold=self.contrast)
        found, histograms = sift.detectAndCompute(grey, None)
        if not found:
            return LocalFeatures.none(WIDTH)
        places = np.array([(*point.pt, point.size, point.angle) for point in found], dtype=np.float32)
        places[:, 3] %= 360
        scores = np.array([point.response for point in found], dtype=np.float32)
        total = histograms.sum(axis=1)
        # a keypoint on a plateau may have no gradient around it
        described = np.flatnonzero(total > 0)
        descriptors = np.sqrt(histograms[described] / total[described, None])
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        return LocalFeatures.strongest(places[described], descriptors, scores[described], self.keypoints)


def _cv2() -> Any:
    return load("cv2", INSTALL_PHOTOS)


def build(name: str, keypoints: int) -> RootSift:
    """Build RootSIFT; OpenCV is asked for now rather than at the first photo."""
    _cv2()
    return RootSift(keypoints, name=name)
