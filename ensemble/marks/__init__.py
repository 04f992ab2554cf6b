"""`match`: evidence about pairs of photos from their marks, by local features.

In: photos and the models' candidates. Out: a pair source: votes of marks (LNBNN) and verified matches.
Imports `protocol` and what stands below it, and `networks` for the photos' files.
"""
