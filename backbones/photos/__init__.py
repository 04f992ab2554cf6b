"""From image names to arrays of pixels: finding photos, reading boxes, decoding, fitting into a network's frame.

In: names, folders, tables of boxes. Out: arrays (h, w, 3) in a network's frame, and what was wrong with the rest.
Imports nothing else of `backbones`; no torch.
"""

from backbones.photos.boxes import Box, BoxTable, jittered, reaches_outside, read_boxes, read_every_box
from backbones.photos.find import Found, find_photos
from backbones.photos.frame import Frame, Shown, fit, show

__all__ = [
    "Box",
    "BoxTable",
    "Found",
    "Frame",
    "Shown",
    "find_photos",
    "fit",
    "jittered",
    "reaches_outside",
    "read_boxes",
    "read_every_box",
    "show",
]
