"""`effnet-SIZE-dolg`: EfficientNet whose last two stages are fused as DOLG does (arXiv 2108.02927)."""

from __future__ import annotations

from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import as_backbone, create, stage_channels, stage_maps, width_of
from backbones.layers import Dolg
from cv.errors import FinblendError

# B0 to B7 with their noisy-student weights, the strongest that are public for them
NETWORKS = {f"b{n}": f"tf_efficientnet_b{n}.ns_jft_in1k" for n in range(8)} | {
    "v2-b0": "tf_efficientnetv2_b0",
    "v2-b1": "tf_efficientnetv2_b1",
    "v2-b2": "tf_efficientnetv2_b2",
    "v2-b3": "tf_efficientnetv2_b3",
    "v2-s": "tf_efficientnetv2_s",
    "v2-m": "tf_efficientnetv2_m",
    "v2-l": "tf_efficientnetv2_l",
    "v2-xl": "tf_efficientnetv2_xl",
}


class EffnetDolg(nn.Module):
    """Maps photos (B, 3, H, W) to embeddings (B, D)."""

    def __init__(self, body: nn.Module, channels: list[int], width: int) -> None:
        super().__init__()
        self.body = body
        local, globe = channels
        self.dolg = Dolg(local, globe, embedding=width)

    def forward(self, photos: Tensor) -> Tensor:
        """Embed a batch: the stages at strides 16 and 32 are the local and the global branch."""
        local, globe = stage_maps(self.body, photos, 2)
        embedded: Tensor = self.dolg(local, globe)
        return embedded


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `effnet-SIZE-dolg`, SIZE one of b0 ... b7, v2-b0 ... v2-xl, 512 wide, or `effnet-SIZE-dolg:WIDTH`."""
    family, width = width_of(name)
    inner = NETWORKS.get(family.removeprefix("effnet-").removesuffix("-dolg"))
    if inner is None:
        raise FinblendError(f"--backbone {name}: must be effnet-SIZE-dolg, SIZE one of {', '.join(NETWORKS)}")
    body = create(inner, size, global_pool="")
    return as_backbone(EffnetDolg(body, stage_channels(body, 2, inner), width), body, size, body="body")
