"""From rankings to answers: the second stage, posteriors, one predictor for out-of-fold and test.

In: a query set and a blend. Out: labels with somebody new in its place, and their probabilities.
Imports `protocol` and what stands below it.
"""
