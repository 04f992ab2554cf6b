"""Readers of the layouts that people keep embeddings in, one a file, none of which ever unpickles."""

from backbones.formats.read import read_embeddings

__all__ = ["read_embeddings"]
