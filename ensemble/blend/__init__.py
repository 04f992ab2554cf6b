"""The recipe: weights, aggregation, rule and threshold; and how it ranks a query set.

In: a blend file, a query set. Out: `Blend`, and rankings of known individuals.
Imports `retrieval` and what stands below it.
"""
