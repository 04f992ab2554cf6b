"""From pieces to HTML."""

from __future__ import annotations

from html import escape

from ensemble.report.page import Section


def page(title: str, sections: list[Section]) -> str:
    """The page; to be drawn properly."""
    return f"<!doctype html><title>{escape(title)}</title>" + "".join(
        f"<h2>{escape(section.title)}</h2><p>{escape(section.measured)}</p>" for section in sections
    )
