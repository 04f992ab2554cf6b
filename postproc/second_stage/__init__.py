"""Each query's best candidates weighed again by all that is known of them.

In: candidates and their features. Out: probabilities by a conditional logit.
Imports every other sub-package of `postproc` but `transforms`.
"""
