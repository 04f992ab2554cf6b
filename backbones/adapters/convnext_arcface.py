"""`convnext-arcface`, `convnext-SIZE-arcface`: ConvNeXt, GeM, and a linear neck with batch norm."""

from __future__ import annotations

from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import as_backbone, create, stage_channels, stage_maps, width_of
from backbones.layers import GeM, Neck
from cv.errors import FinblendError

SIZES = ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge", "xxlarge")
V2_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
NETWORKS = {size: f"convnext_{size}" for size in SIZES} | {f"v2-{size}": f"convnextv2_{size}" for size in V2_SIZES}


class ConvnextArcface(nn.Module):
    """Maps photos (B, 3, H, W) to embeddings (B, D)."""

    def __init__(self, body: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        self.body = body
        self.pool = GeM()
        self.neck = Neck(channels, width)

    def forward(self, photos: Tensor) -> Tensor:
        """Embed a batch."""
        (last,) = stage_maps(self.body, photos, 1)
        embedded: Tensor = self.neck(self.pool(last))
        return embedded


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `convnext-arcface` (the base size) or `convnext-SIZE-arcface`, 512 wide, or with `:WIDTH` after it."""
    family, width = width_of(name)
    inner = NETWORKS.get(family.removeprefix("convnext-").removesuffix("arcface").removesuffix("-") or "base")
    if inner is None:
        raise FinblendError(f"--backbone {name}: must be convnext-SIZE-arcface, SIZE one of {', '.join(NETWORKS)}")
    body = create(inner, size, global_pool="")
    return as_backbone(ConvnextArcface(body, stage_channels(body, 1, inner)[0], width), body, size, body="body")
