"""Send a checked submission to a competition, and keep what the board says beside what was predicted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.files import read_json, refuse_no_file, sha256_of
from ensemble.blend.load import tuned_blend
from ensemble.competition.board import with_scores
from ensemble.competition.client import Connection, connected
from ensemble.competition.refusals import UnreachableError
from ensemble.competition.sending import UNKNOWN, submission_of, submissions_left, uploaded
from ensemble.outputs.check import CheckResult, check
from ensemble.outputs.submit import submit as write_answers
from ensemble.project.folder import Project
from ensemble.project.lock import locked
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.project.submissions import Submission, read_submissions, write_submissions

FILE = "submission.csv"
# seconds between two looks at the board
LOOK = 5.0


@dataclass(frozen=True, kw_only=True)
class KaggleSubmitResult(Result):
    """A submission that a competition has.

    Attributes
    ----------
    submission : Submission
    rows : int
    new_first : float
        Share of rows with `new_individual` in first place.
    sent : bool
        False where the same answers were sent before, so that their score was asked for and nothing else.
    left : int or None
        How many more may be sent now; None where the competition did not say.
    """

    submission: Submission
    rows: int
    new_first: float
    sent: bool
    left: int | None


def submit(
    target: str | Path,
    competition: str,
    *,
    message: str,
    sample: str | Path | None = None,
    use: str = "folds",
    wait: float = 300.0,
    again: bool = False,
    progress: Progress | None = None,
) -> KaggleSubmitResult:
    """Send a project's answers, or a file, to a competition; wait for the public score.

    A project's answers are written anew by its blend, to `submission.csv` in its folder, so that the prediction which
    is kept beside the score is of what was sent. The same answers are not sent twice: a submission is counted, and a
    call that was killed while it waited only waits again.

    Parameters
    ----------
    target : str or Path
        A project, or a submission's file.
    competition : str
        The last part of its page's address.
    message : str
        Shown beside the submission.
    sample : str or Path, optional
        The sample submission that a file is checked against.
    use : {"folds", "full", "both"}
        As of `ensemble.submit`.
    wait : float
        Seconds to wait for the score, >= 0.
    again : bool
        Send what was sent before once more.
    progress : callable, optional

    Raises
    ------
    FinblendError
        In one line, whatever is in the way; a file that breaks a rule is not sent.
    """
    if not wait >= 0:
        raise FinblendError(f"--wait: wait >= 0 must hold, but got wait={wait}")
    if len(message.splitlines()) > 1 or any("\ud800" <= letter <= "\udfff" for letter in message):
        raise FinblendError("--message: a message is one line of text")
    target = Path(target)
    if target.is_dir():
        if sample is not None:
            raise FinblendError(f"--sample {sample}: a project knows its test photos; it is for a file")
        project = Project.open(target)
        with connected(competition) as connection, locked(project.cache / "kaggle.lock", f"a submission of {target}"):
            return _of_project(connection, project, message, use, wait, again, progress)
    refuse_no_file(target, "a submission")
    if sample is None:
        raise FinblendError(f"{target}: a file is checked before it is sent; name the sample submission with --sample")
    checked = check(target, sample=sample)
    with connected(competition) as connection:
        entry, left = _new(connection, target, message), submissions_left(connection)
        entry = submission_of(connection, uploaded(connection, target), entry)
        return _result(_waited(connection, [entry], wait)[-1], checked, True, left)


def _of_project(
    connection: Connection,
    project: Project,
    message: str,
    use: str,
    wait: float,
    again: bool,
    progress: Progress | None,
) -> KaggleSubmitResult:
    path = project.folder / FILE
    answers = write_answers(project.folder, path, use=use, progress=progress)
    checked = CheckResult(answers.rows, answers.new_first)
    entry = _new(connection, path, message, **_predicted(project, use))
    known, same = read_submissions(project.folder), (entry.sha256, entry.competition)
    if not again and any((each.sha256, each.competition) == same for each in known):
        known = with_scores(connection, known)
        # what Kaggle does not list never came there
        before = [each for each in known if (each.sha256, each.competition) == same and each.status != "sent"]
        if before:
            known = [each for each in known if each is not before[-1]] + [before[-1]]
            return _result(_waited(connection, known, wait, project)[-1], checked, False, None)
        known = [each for each in known if (each.sha256, each.competition) != same]
    left = submissions_left(connection)
    token = uploaded(connection, path)
    # kept before it is made: a call that is killed in between finds it among what Kaggle lists
    write_submissions(project.folder, [*known, entry])
    try:
        made = submission_of(connection, token, entry)
    except UnreachableError:
        raise
    except FinblendError:
        write_submissions(project.folder, known)
        raise
    known = [*known, made]
    write_submissions(project.folder, known)
    return _result(_waited(connection, known, wait, project)[-1], checked, True, left)


def _result(entry: Submission, checked: CheckResult, sent: bool, left: int | None) -> KaggleSubmitResult:
    if entry.status == "sent":
        raise UnreachableError(f"Kaggle gave no number to {Path(entry.file).name}; {UNKNOWN}")
    return KaggleSubmitResult(
        submission=entry,
        rows=checked.rows,
        new_first=checked.new_first,
        sent=sent,
        left=None if left is None else left - 1,
    )


def _new(connection: Connection, path: Path, message: str, **predicted: Any) -> Submission:
    return Submission(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        competition=connection.competition,
        file=str(path),
        sha256=sha256_of(path),
        message=message,
        **predicted,
    )


def _predicted(project: Project, use: str) -> dict[str, Any]:
    """The blend's seal, and its nested score with the interval for such a test; None where it was not measured.

    A recipe that was changed by hand is not what its seal says, and networks that have seen all labels were not scored.
    """
    blend = tuned_blend(project)
    nested: Mapping[str, Any] = (blend.measured.get("nested") if use == "folds" else None) or {}
    return {
        "blend": None if blend.by_hand else read_json(project.blend_path).get("seal"),
        "predicted": nested.get("map5"),
        "interval": nested.get("prediction"),
    }


def _waited(
    connection: Connection, known: list[Submission], wait: float, project: Project | None = None
) -> list[Submission]:
    """The submissions once the last of them is scored, or when the time is over."""
    end = time.monotonic() + wait
    while True:
        try:
            now = with_scores(connection, known)
            if now != known and project is not None:
                write_submissions(project.folder, now)
            known = now
        except UnreachableError:
            # it is there: a break while waiting is no failure
            pass
        rest = end - time.monotonic()
        if known[-1].status in {"complete", "error"} or rest <= 0:
            return known
        time.sleep(min(LOOK, rest))
