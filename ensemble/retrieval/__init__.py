"""Queries against a gallery: one retrieval task a fold, one for test, and the evidence that they give.

In: models and their whitening. Out: `QuerySet`: candidates with similarities in every model.
Imports `registry`, `engine` and `project`.
"""
