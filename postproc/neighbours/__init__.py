"""Exact nearest neighbours: screened in a cheap format, refined, certified.

In: arrays of embeddings. Out: `Neighbours`, the same whatever the machine.
Imports nothing of `postproc` but `compiled`.
"""
