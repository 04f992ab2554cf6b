"""`timm-gem:NAME`: GeM pooling of the last two stages, concatenated and batch-normalised.

As the Happywhale 1st place built its networks (github.com/knshnb/kaggle-happywhale-1st-place). An untrained neck passes
its input on, so the network is of use frozen, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import argument_of, as_backbone, create, stage_channels, stage_maps
from backbones.layers import GeM

STAGES = 2


class MultiStageGem(nn.Module):
    """Maps photos (B, 3, H, W) to the pooled channels of the last stages (B, D)."""

    def __init__(self, body: nn.Module, channels: list[int]) -> None:
        super().__init__()
        self.body = body
        self.pools = nn.ModuleList(GeM() for _ in channels)
        self.neck = nn.BatchNorm1d(sum(channels))

    def forward(self, photos: Tensor) -> Tensor:
        """Embed a batch."""
        maps = stage_maps(self.body, photos, len(self.pools))
        pooled = torch.cat([pool(each) for pool, each in zip(self.pools, maps, strict=True)], dim=1)
        embedded: Tensor = self.neck(pooled)
        return embedded


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `timm-gem:NAME`."""
    inner = argument_of(name, "NAME")
    body = create(inner, size)
    network = MultiStageGem(body, stage_channels(body, STAGES, inner))
    return as_backbone(network, body, size, body="body")
