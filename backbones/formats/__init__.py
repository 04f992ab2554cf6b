"""Readers of the layouts that people keep embeddings in, one a file, none of which ever unpickles.

In: a path as a user types it. Out: `Embeddings` with the names of their photos.
Imports nothing else of `backbones` but what describes embeddings.
"""

from backbones.formats.read import read_embeddings

__all__ = ["read_embeddings"]
