"""Two blends, side by side: what one gains over the other, and where their answers differ.

In: two projects, or a project and a blend file. Out: paired differences and a page.
Imports `report`, `evaluation` and what stands below them.
"""
