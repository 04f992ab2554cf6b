"""The search for a blend: one for `tune` and for the nested score.

In: a project whose models are registered. Out: blend.json and `TuneResult`.
Imports `identification` and what stands below it.
"""
