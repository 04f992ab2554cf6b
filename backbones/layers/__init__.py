"""Layers between a backbone and its embedding; importing this package imports torch.

In: feature maps (n, c, h, w). Out: one vector a photo.
Imports nothing else of `backbones`.
"""

from backbones.layers.dolg import Dolg, LocalBranch, orthogonal_part
from backbones.layers.gem import GeM
from backbones.layers.neck import Neck

__all__ = ["Dolg", "GeM", "LocalBranch", "Neck", "orthogonal_part"]
