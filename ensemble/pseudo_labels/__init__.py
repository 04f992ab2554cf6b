"""Names of test photos that can be trusted: generated, selected, merged as a round of their own.

In: a project with a blend. Out: a set for each fold that never saw it, a ledger a round.
Imports `tuning`, `outputs` and what stands below them.
"""
