"""What photo-identification platforms and capture-recapture programs read and write: Wildbook, Camtrap DP, COCO, MARK.

In: a project, perhaps decisions. Out: a file or folder in one of these forms, by way of one table of records; and back,
a table that `init` reads.
Imports `outputs`, for the bands, and what stands below it.
"""
