"""Each query's best candidates weighed again by all that is known of them.

In: candidates and their features. Out: probabilities by a conditional logit.
Imports everything above it in `postproc`.
"""
