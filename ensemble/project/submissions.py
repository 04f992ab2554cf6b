"""What was sent to a competition from a project, and what its board said: `P/submissions.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType

from cv.errors import FinblendError
from cv.files import read_json, write_json
from ensemble.project.result import Result

NAME = "submissions.json"
STATES = ("sent", "pending", "complete", "error")


@dataclass(frozen=True, kw_only=True)
class Submission(Result):
    """One file that was sent, with what was predicted of it before and what the board said after.

    Attributes
    ----------
    at : str
        When it was sent, in UTC.
    competition, file, sha256, message : str
    ref : int
        The competition's number for it; 0 where it is not known.
    blend : str or None
        Seal of the blend that it was written by.
    predicted : float or None
        Nested MAP@5 of that blend.
    interval : list of float or None
        Where 95 % of such tests lie.
    status : {"sent", "pending", "complete", "error"}
        "sent" until the competition has told that it came.
    public, private : float or None
    problem : str
        Why it could not be scored.
    """

    at: str
    competition: str
    file: str
    sha256: str
    message: str
    ref: int = 0
    blend: str | None = None
    predicted: float | None = None
    interval: list[float] | None = None
    status: str = "sent"
    public: float | None = None
    private: float | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATES:
            raise FinblendError(f"status must be one of {', '.join(STATES)}, but got {self.status}")
        if datetime.fromisoformat(self.at).tzinfo is None:
            raise FinblendError(f"at must say its time zone, but got {self.at}")
        for text in (self.competition, self.file, self.sha256, self.message, self.problem):
            if not isinstance(text, str):
                raise FinblendError(f"{text} must be text")
        if self.interval is not None and len(self.interval) != 2:
            raise FinblendError(f"interval must be two numbers, but got {self.interval}")
        for number in (self.ref, self.predicted, self.public, self.private, *(self.interval or ())):
            if not isinstance(number, (int, float, NoneType)):
                raise FinblendError(f"{number} must be a number")

    @property
    def is_inside(self) -> bool | None:
        """Whether the public score lies in the interval; None where there is one of them only."""
        if self.public is None or self.interval is None:
            return None
        return self.interval[0] <= self.public <= self.interval[1]


def read_submissions(folder: Path) -> list[Submission]:
    """The submissions of a project, oldest first; a damaged file is refused."""
    path = folder / NAME
    if not path.is_file():
        return []
    try:
        return [Submission(**entry) for entry in read_json(path)]
    except (TypeError, ValueError) as error:
        raise FinblendError(f"{path}: is not a list of submissions ({error})") from None


def write_submissions(folder: Path, submissions: Sequence[Submission]) -> None:
    """Write them, atomically."""
    write_json(folder / NAME, [each.as_dict() for each in submissions])
