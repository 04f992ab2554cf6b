"""Candidates of each query with their similarity in every source, and species votes.

In: neighbours of each source. Out: `Evidence`.
Imports `neighbours`.
"""
