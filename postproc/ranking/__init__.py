"""From evidence to ranked individuals, with bounds on what was not looked at, and to answers.

In: evidence and weights. Out: `Ranking`, `Decision`, scores of many blends in milliseconds.
Imports `transforms`, `evidence`, `neighbours`.
"""
