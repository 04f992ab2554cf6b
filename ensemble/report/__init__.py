"""One page about a project: what it holds, how good it is, how to make it again.

In: a project at any stage, and folders of its photos. Out: one self-contained HTML file.
`sections` say what is told, as plain data; `page` and `charts` turn it into HTML and SVG. Imports all rooms below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cv.lazy import lazy_names

if TYPE_CHECKING:
    from ensemble.report.write import ReportResult, write_report

__getattr__ = lazy_names(__name__, {"ReportResult": "ensemble.report.write", "write_report": "ensemble.report.write"})

__all__ = ["ReportResult", "write_report"]
