"""Layers between a backbone and its embedding, or its local features; importing this package imports torch.

In: feature maps (n, c, h, w). Out: one vector a photo, or descriptors and attention at every position.
Imports nothing else of `backbones`.
"""

from backbones.layers.delg import DelgHead, DelgTraining
from backbones.layers.dolg import Dolg, LocalBranch, orthogonal_part
from backbones.layers.gem import GeM
from backbones.layers.neck import Neck

__all__ = ["DelgHead", "DelgTraining", "Dolg", "GeM", "LocalBranch", "Neck", "orthogonal_part"]
