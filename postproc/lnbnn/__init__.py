"""Retrieval by marks: local descriptors of a query vote for the gallery photos that hold their nearest neighbours.

In: descriptors of query and gallery photos. Out: `PairTable`, the votes of photos for photos.
Imports `neighbours` and `evidence`.
"""
