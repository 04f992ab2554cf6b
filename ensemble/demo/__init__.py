"""The main job end to end on painted animals, scored on answers that it never saw.

In: nothing. Out: a folder with photos, project, submission and score.
Imports `ensemble`'s public functions, as a user does.
"""
