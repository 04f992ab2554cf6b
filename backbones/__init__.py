"""Photos to embeddings, and the store they are written in."""

from backbones.align import align
from backbones.embeddings import Embeddings, as_embeddings
from backbones.formats import read_embeddings
from backbones.manifest import Manifest, Seen
from backbones.store import Store, write_store

__all__ = ["Embeddings", "Manifest", "Seen", "Store", "align", "as_embeddings", "read_embeddings", "write_store"]
