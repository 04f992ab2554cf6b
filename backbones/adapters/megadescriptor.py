"""`megadescriptor-SIZE`: Swin networks, and one EfficientNet, trained on 29 sets of animals (arXiv 2311.09118)."""

from __future__ import annotations

from backbones.adapters.contract import Backbone, Published
from backbones.adapters.timm_networks import create, without_argument

NETWORKS = {
    "t-224": "swin_tiny_patch4_window7_224",
    "s-224": "swin_small_patch4_window7_224",
    "b-224": "swin_base_patch4_window7_224",
    "l-224": "swin_large_patch4_window7_224",
    "l-384": "swin_large_patch4_window12_384",
    "t-cnn-288": "efficientnet_b3",
}
# as the cards show photos; the notebooks that trained the networks have ImageNet's: --normalise imagenet
HALF = (0.5, 0.5, 0.5)
LICENCE = "are under CC BY-NC 4.0: not for commercial use"


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `megadescriptor-t-224` to `-l-384`, or `megadescriptor-t-cnn-288`; the number is the side of its photos."""
    variant = without_argument(name).removeprefix("megadescriptor-")
    side = int(variant.rpartition("-")[2])
    published = Published(repository=f"BVRA/MegaDescriptor-{variant.upper()}", licence=LICENCE)
    return Backbone(create(NETWORKS[variant], size), *(size or (side, side)), HALF, HALF, published=published)
