"""Scores that mean what they say: posteriors over names, calibration, the share of somebody new.

In: scores or probabilities. Out: probabilities that sum to 1, and how often they come true.
Imports `ranking` and what stands below it.
"""
