"""Charts as data, and their drawing as inline SVG.

In: numbers with names. Out: one `svg` element that follows dark mode and width.
Imports nothing of `ensemble`.
"""
