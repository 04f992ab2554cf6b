"""Local features: where the marks of a photo are and what they look like, kept once a photo.

In: photos, perhaps boxes. Out: keypoints, descriptors and scores, in a store that is read by memory map.
Imports `photos`, and for trained ones `adapters`, `layers` and `weights`; one extractor a file, third parties' come in
by entry points.
"""

from backbones.local_features.contract import LocalBuilder, LocalExtractor, LocalFeatures
from backbones.local_features.doors import ENTRY_POINTS, build_local, local_feature_names, local_provider_of
from backbones.local_features.extract import LocalPhotos, extract_features
from backbones.local_features.store import FeatureManifest, FeatureStore

__all__ = [
    "ENTRY_POINTS",
    "FeatureManifest",
    "FeatureStore",
    "LocalBuilder",
    "LocalExtractor",
    "LocalFeatures",
    "LocalPhotos",
    "build_local",
    "extract_features",
    "local_feature_names",
    "local_provider_of",
]
