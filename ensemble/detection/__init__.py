"""A detector for crops: trained on a table of boxes, applied to folders of photos.

In: boxes, photos. Out: a detector's folder; the boxes that `embed`, `train` and `match` take.
Imports `networks` (the folder of a run) and `project`, and `backbones.detection` inside functions: it needs torch.
"""
