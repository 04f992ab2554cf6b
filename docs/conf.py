"""How `make docs` builds the site. Nothing is fetched, at build or at view time; every warning is an error there."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

project = "finblend"
author = "the finblend authors"
project_copyright = "the finblend authors, Apache-2.0"
version = release = version_of("finblend")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "filled_pages"]
exclude_patterns = ["_ext"]
nitpicky = False  # types of numpy, polars and torch have no page here, and none is fetched

myst_heading_anchors = 3
# one thing between single backticks in a docstring is code
default_role = "code"
autodoc_typehints = "none"  # numpydoc's Parameters say them in words
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries = False
smartquotes = False  # a double dash begins a flag

html_theme = "furo"
html_title = f"finblend {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
templates_path: list[str] = []
