"""The page: pieces that sections are made of, photos on it, and the HTML.

In: sections. Out: one self-contained text of HTML.
Imports `charts`.
"""
