"""Which keypoints of two photos show the same mark: matching of descriptors, and verification by geometry.

In: keypoints and descriptors of a query photo and a gallery photo. Out: matched pairs with a confidence, and which of
them one affine map or homography explains.
Imports cv.errors; LightGlue loads torch and homographies load OpenCV where they are asked for.
"""

from backbones.matching.contract import Features, Matcher, Matches
from backbones.matching.geometry import Model, Verification, extent, pixel_threshold, verify
from backbones.matching.lightglue import LightGlueMatcher
from backbones.matching.ratio import RatioMatcher

__all__ = [
    "Features",
    "LightGlueMatcher",
    "Matcher",
    "Matches",
    "Model",
    "RatioMatcher",
    "Verification",
    "extent",
    "pixel_threshold",
    "verify",
]
