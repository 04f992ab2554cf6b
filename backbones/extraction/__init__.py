"""Photos through a network: views, precision, and a run that goes on where it was killed.

In: a network, photos, views. Out: embeddings, written batch by batch.
Imports `adapters` and `photos`.
"""
