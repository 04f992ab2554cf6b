"""`timm:NAME`: any timm network, with the features that it pools itself."""

from __future__ import annotations

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import argument_of, as_backbone, create


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `timm:NAME`."""
    network = create(argument_of(name, "NAME"), size)
    return as_backbone(network, network, size)
