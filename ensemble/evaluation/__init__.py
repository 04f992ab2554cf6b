"""How good a tuned blend and every model alone are, and whom they confuse.

In: a project. Out: scores, each with how it was measured.
Imports `tuning`, `outputs` and what stands below them.
"""
