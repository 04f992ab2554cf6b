"""How scores are measured: the evaluation set in the stated mix, certificates, bootstrap, the share of strangers.

In: out-of-fold queries and a mix. Out: `EvaluationSet`, `Setup`, intervals.
Imports `blend` and what stands below it.
"""
