"""Adapters: a name on the command line becomes a network that maps photos to embeddings.

In: a name, weights, options. Out: a network with its transform, that gives an embedding a photo.
Imports `layers`; one adapter a file, third parties' come in by entry points.
"""

from backbones.adapters.contract import Backbone, Published
from backbones.adapters.doors import ENTRY_POINTS, backbone_names, build_backbone, provider_of

__all__ = ["ENTRY_POINTS", "Backbone", "Published", "backbone_names", "build_backbone", "provider_of"]
