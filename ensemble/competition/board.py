"""What a competition's board says of submissions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ensemble.competition.client import Connection, connected
from ensemble.competition.refusals import one_line
from ensemble.project.folder import Project
from ensemble.project.result import Result
from ensemble.project.submissions import Submission, read_submissions, write_submissions

PAGE, MOST_PAGES = 100, 50
# clocks differ
SLACK = timedelta(minutes=10)


@dataclass(frozen=True)
class ScoresResult(Result):
    """Every submission of a project, oldest first, with what the board says now."""

    submissions: list[Submission]


def scores(folder: str | Path) -> ScoresResult:
    """Ask for the scores of everything that was sent from a project, and keep them in it.

    Parameters
    ----------
    folder : str or Path
    """
    project = Project.open(folder)
    known = read_submissions(project.folder)
    for competition in dict.fromkeys(each.competition for each in known):
        with connected(competition) as connection:
            known = with_scores(connection, known)
    if known:
        write_submissions(project.folder, known)
    return ScoresResult(known)


def with_scores(connection: Connection, known: Sequence[Submission]) -> list[Submission]:
    """The submissions, those of this competition as it lists them now.

    Parameters
    ----------
    connection : Connection
    known : sequence of Submission
        Of any competition. One whose number is not known is found by its file's name, its message and its time.
    """
    wanted = [n for n, each in enumerate(known) if each.competition == connection.competition]
    found, token = list(known), ""
    for _ in range(MOST_PAGES if wanted else 0):
        where = {"page_token": token} if token else {"page": 1}
        page = connection.ask("list_submissions", "ApiListSubmissionsRequest", page_size=PAGE, **where)
        for listed in page.submissions or []:
            taken = {each.ref for each in found} - {0}
            # a number first, for the oldest of those without one could else take its place
            own = [n for n in wanted if found[n].ref == listed.ref]
            own = own or [n for n in wanted if listed.ref not in taken and _is_lost(found[n], listed)]
            if own:
                found[own[0]] = _as_listed(found[own[0]], listed)
                wanted.remove(own[0])
        token = page.next_page_token
        if not token or not wanted:
            break
    return found


def _is_lost(known: Submission, listed: Any) -> bool:
    """Whether a listed submission is one that was sent, but whose number never came back."""
    if known.ref or listed.file_name != Path(known.file).name or (listed.description or "") != known.message:
        return False
    if listed.date is None:
        return False
    date = listed.date.replace(tzinfo=UTC) if listed.date.tzinfo is None else listed.date
    return bool(date >= datetime.fromisoformat(known.at) - SLACK)


def _as_listed(known: Submission, listed: Any) -> Submission:
    return replace(
        known,
        ref=listed.ref,
        status=listed.status.name.lower(),
        public=_score(listed.public_score),
        private=_score(listed.private_score),
        problem=one_line(listed.error_description or ""),
    )


def _score(text: str | None) -> float | None:
    """A score as the board writes it; None where it has none yet, or hides it."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
