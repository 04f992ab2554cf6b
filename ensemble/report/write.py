"""Write the report of a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cv.files import written_beside
from ensemble.outputs.bands import PRECISION, check_precision
from ensemble.project.folder import Project
from ensemble.project.outputs import refuse_output
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.project.version import finblend_version
from ensemble.report.page.album import photo_folders
from ensemble.report.page.html import render
from ensemble.report.page.pieces import Section
from ensemble.report.sections import blend, calibration, catalogue, marks, mistakes, models, photos, provenance
from ensemble.report.state import State

# in the order of the page; each is left out where there is nothing to tell yet
SECTIONS: tuple[Callable[[State], Section | None], ...] = (
    catalogue.section,
    photos.section,
    models.section,
    blend.section,
    marks.section,
    calibration.section,
    mistakes.section,
    provenance.section,
)


@dataclass(frozen=True)
class ReportResult(Result):
    """The page that was written: where, how large, and the keys of its sections."""

    path: Path
    bytes: int
    sections: list[str]


def write_report(
    folder: str | Path,
    out: str | Path,
    *,
    images: str | Path | Sequence[str | Path] | None = None,
    precision: float = PRECISION,
    detector: str | Path | None = None,
    progress: Progress | None = None,
) -> ReportResult:
    """Write the report of a project as one self-contained HTML page, at whatever stage it is.

    Parameters
    ----------
    folder : str or Path
        The project.
    out : str or Path
        The page to write.
    images : str or Path, or several, optional
        The folders of the photos: the page then shows some of them, small.
    precision : float
        Wanted precision of the first answer in the bands, in (0, 1), as of `ensemble.decide`.
    detector : str or Path, optional
        The folder of the detector that cut the photos: the page then shows what it reached.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    FinblendError
        If the folder is no project, the page cannot be written, or none of a tuned project's photos is in `images`.
    """
    project, out = Project.open(folder), Path(out)
    check_precision(precision)
    refuse_output(out)
    state = State(project, photo_folders(images), progress, precision, None if detector is None else Path(detector))
    if state.blend is not None:
        _ = state.album  # before minutes of computing: folders in which none of the photos is are refused
    sections = [section for make in SECTIONS if (section := _with_progress(make, state)) is not None]
    text = render(f"{project.folder.resolve().name}: finblend report", sections, _stage(state))
    with written_beside(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ReportResult(out, out.stat().st_size, [section.key for section in sections])


def _stage(state: State) -> str:
    """How far the project is, and when the page was written."""
    n = len(state.stores)
    stage = f"{n} model{'s' if n != 1 else ''} registered" if n else "no model registered yet"
    if state.blend is not None:
        stage += ", blend tuned"
    elif state.stale or n:
        stage += ", blend there cannot be read" if state.stale else ", no blend tuned yet"
    return f"{stage} · written {date.today().isoformat()} by finblend {finblend_version()}"


def _with_progress(make: Callable[[State], Section | None], state: State) -> Section | None:
    section = make(state)
    if state.progress is not None:
        state.progress("report sections", 1, len(SECTIONS))
    return section
