"""Lengths of embeddings that float32 products can take without under- or overflow."""

SHORTEST, LONGEST = 1e-18, 1e18
