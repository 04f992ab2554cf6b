"""What embeddings may go through before they are compared: whitening.

In: a space and what is fitted on its gallery. Out: a space.
Imports `evidence` and `neighbours`.
"""
