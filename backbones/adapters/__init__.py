"""Adapters: a name on the command line becomes a network that maps photos to embeddings."""

from backbones.adapters.contract import Backbone
from backbones.adapters.doors import ENTRY_POINTS, backbone_names, build_backbone, provider_of

__all__ = ["ENTRY_POINTS", "Backbone", "backbone_names", "build_backbone", "provider_of"]
