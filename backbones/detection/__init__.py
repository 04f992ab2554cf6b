"""A detector of animals: FCOS over any network of timm, trained on boxes, applied to photos.

In: photos with boxes and their classes. Out: a folder with the network and what it reached; boxes with scores.
Imports `adapters`, `photos`, `training` (colours), `weights`, and `nms` through `vision`.
"""
