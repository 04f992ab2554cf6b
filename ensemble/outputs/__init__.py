"""What a tuned blend writes: submission, decisions, vectors; and the check of a submission.

In: a project with a blend. Out: files, written beside and renamed; vectors also in servers (`vectors`).
Imports `identification` and what stands below it.
"""
