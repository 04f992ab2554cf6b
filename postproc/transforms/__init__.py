"""What embeddings and similarities may go through before they are compared: whitening, expansion, reciprocity.

In: a space and what is fitted on its gallery. Out: a space, or similarities.
Imports `evidence` and `neighbours`.
"""
