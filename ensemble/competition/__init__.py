"""Kaggle in and out: a competition's files, submissions, and what the board says of them.

In: a competition's name, a project with a blend, or a submission. Out: files, `P/submissions.json`.
Imports `outputs` and what stands below it; Kaggle's own client (extra `kaggle`) where it is used.
"""
