"""One page about a project: what it holds, how good it is, how to make it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

from cv.files import written_beside
from ensemble.outputs.bands import PRECISION, check_precision
from ensemble.project.folder import Project
from ensemble.project.version import finblend_version
from ensemble.report.page.html import refuse_page, render
from ensemble.report.page.pieces import Section
from ensemble.report.state import State

__all__ = ["write_report"]

# in the order of the page
SECTIONS = ("catalogue", "models", "blend", "trust", "look", "provenance")


def write_report(
    folder: str | Path,
    out: str | Path,
    *,
    images: Path | None = None,
    precision: float = PRECISION,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the report of a project as one self-contained HTML page, at whatever stage it is.

    Parameters
    ----------
    folder : str or Path
        The project.
    out : str or Path
        The page to write.
    images : Path, optional
        The folder of the photos: the page then shows some of them, small.
    precision : float
        Wanted precision of the first answer in the bands, in (0, 1), as of `ensemble.decide`.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    dict
        `path, bytes, sections`.

    Raises
    ------
    FinblendError
        If the folder is no project, the page cannot be written, or none of a tuned project's photos is in `images`.
    """
    project, out = Project.open(folder), Path(out)
    check_precision(precision)
    state = State(project, images, progress, precision)
    refuse_page(out, images)
    if state.blend is not None:
        _ = state.album  # told before minutes of computing that none of the photos is there
    sections = [section for key in SECTIONS if (section := _section(key, state)) is not None]
    text = render(f"{project.folder.resolve().name}: finblend report", sections, _stage(state))
    with written_beside(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return {"path": str(out), "bytes": out.stat().st_size, "sections": [section.key for section in sections]}


def _stage(state: State) -> str:
    """How far the project is, and when the page was written."""
    n = len(state.stores)
    stage = f"{n} model{'s' if n != 1 else ''} registered" if n else "no model registered yet"
    if state.blend is not None:
        stage += ", blend tuned"
    elif state.stale or n:
        stage += ", blend there cannot be read" if state.stale else ", no blend tuned yet"
    return f"{stage} · written {date.today().isoformat()} by finblend {finblend_version()}"


def _section(key: str, state: State) -> Section | None:
    found: Section | None = import_module(f"ensemble.report.{key}").section(state)
    if state.progress is not None:
        state.progress("report sections", 1, len(SECTIONS))
    return found
