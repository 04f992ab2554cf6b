"""`miewid`, `miewid-msv2`: EfficientNetV2-M, GeM and a batch norm, as MiewID's makers built it (arXiv 2412.05602)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone, Published
from backbones.adapters.timm_networks import as_backbone, create, without_argument
from backbones.layers import GeM

NETWORK = "efficientnetv2_rw_m"
# photos are shown at this side, with ImageNet's mean and std (github.com/WildMeOrg/wbia-plugin-miew-id, README)
SIDE = 440
REPOSITORIES = {"miewid": "conservationxlabs/miewid-msv3", "miewid-msv2": "conservationxlabs/miewid-msv2"}
LICENCE = "state no licence: ask Conservation X Labs before you publish or sell what is made with them"


class MiewId(nn.Module):
    """Maps photos (B, 3, H, W) to embeddings (B, D); parts are called as in the published file."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = GeM()
        # a vector of one number in the published file
        self.pooling.p = nn.Parameter(torch.full((1,), 3.0))
        self.bn = nn.BatchNorm1d(int(backbone.num_features))  # type: ignore[arg-type]

    def forward(self, photos: Tensor) -> Tensor:
        """Embed a batch."""
        embedded: Tensor = self.bn(self.pooling(self.backbone.forward_features(photos)))  # type: ignore[operator]
        return embedded


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `miewid` (version 3 of the multispecies network) or `miewid-msv2`, 2152 wide, for 440 pixels."""
    repository = REPOSITORIES[without_argument(name)]
    body = create(NETWORK, size, global_pool="")
    published = Published(
        repository=repository,
        licence=LICENCE,
        # version 3 has its exponent inside, where timm pools; the training code has it beside
        renamed={"backbone.global_pool.": "pooling."},
        dropped=("final.", "fc."),
    )
    return as_backbone(MiewId(body), body, size or (SIDE, SIDE), body="backbone", published=published)
