"""Candidates of each query with their similarity in every source, what their means need beside them, species votes.

In: neighbours of each source. Out: `Evidence`.
Imports `neighbours`.
"""
