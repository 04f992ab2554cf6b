"""`dinov2-SIZE`, `dinov3-SIZE`: Meta's self-supervised transformers by short names; `timm:` knows them, and more."""

from __future__ import annotations

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import as_backbone, create, without_argument

NETWORKS = {f"dinov2-{size}": f"vit_{size}_patch14_dinov2.lvd142m" for size in ("small", "base", "large", "giant")} | {
    f"dinov3-{size}": f"vit_{size.replace('-', '_')}_patch16_dinov3.lvd1689m"
    for size in ("small", "small-plus", "base", "large", "huge-plus", "7b")
}


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `dinov2-small` to `-giant` (518 pixels, patches of 14) or `dinov3-small` to `-7b` (256, patches of 16)."""
    network = create(NETWORKS[without_argument(name)], size)
    return as_backbone(network, network, size)
