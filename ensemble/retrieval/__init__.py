"""Queries against a gallery: one retrieval task a fold, one for test, and the evidence that they give.

In: models, their whitening and operators. Out: `QuerySet`: candidates with similarities in every model.
Imports `registry` and `project`.
"""
