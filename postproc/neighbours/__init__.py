"""Exact nearest neighbours: screened in a cheap format, refined, certified.

In: arrays of embeddings. Out: `Neighbours`, the same whatever the machine; where it is asked for, of photos that an
approximate index chose.
Imports nothing of `postproc` but `compiled`.
"""
