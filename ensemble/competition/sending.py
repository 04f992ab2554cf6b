"""The steps of sending a file: what is allowed, the upload, and the submission that is made of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from cv.errors import FinblendError
from ensemble.competition.client import PATIENCE, Connection
from ensemble.competition.refusals import UnreachableError, refusal, told
from ensemble.project.submissions import Submission

# an upload that breaks is begun anew, after a pause: nothing counts before the submission is made of it
TRIES, PAUSE = 3, 1.0
UNKNOWN = "whether it came is not known: the same command for a project finds out, the competition's page tells it, too"


def submissions_left(connection: Connection) -> int | None:
    """How many submissions are allowed now; none is refused before anything is sent."""
    limits = connection.ask("get_submission_limits", "ApiGetSubmissionLimitsRequest")
    if limits.num_allowed_now > 0:
        return int(limits.num_allowed_now)
    if not limits.num_today and not limits.num_total:
        # of who has no team yet, and of who has sent nothing: the upload will tell
        return None
    today = "in all" if limits.limited_by_total else "today; the next may be sent after midnight UTC"
    number = limits.num_total if limits.limited_by_total else limits.num_today
    raise FinblendError(f"{connection.competition}: no submission is left ({number} were sent {today})")


def uploaded(connection: Connection, path: Path) -> str:
    """Bring the file to Kaggle; the token that a submission is made of it by."""
    stat = path.stat()
    for tries in range(1, TRIES + 1):
        try:
            start = connection.ask(
                "start_submission_upload",
                "ApiStartSubmissionUploadRequest",
                file_name=path.name,
                content_length=stat.st_size,
                last_modified_epoch_seconds=int(stat.st_mtime),
            )
            _put(connection, path, start.create_url)
            return str(start.token)
        except UnreachableError:
            if tries == TRIES:
                raise
            time.sleep(PAUSE * tries)
    raise AssertionError


def _put(connection: Connection, path: Path, address: str) -> None:
    import requests

    # the address is signed for this file: the token is not for it
    with told(connection.competition, connection.credentials), path.open("rb") as file:
        answer = requests.put(address, data=file, timeout=PATIENCE)
    if answer.status_code >= 400:
        raise refusal(answer, connection.competition, connection.credentials)


def submission_of(connection: Connection, token: str, entry: Submission) -> Submission:
    """Make a submission of a file that was uploaded; from here on it counts."""
    try:
        answer = connection.ask(
            "create_submission",
            "ApiCreateSubmissionRequest",
            blob_file_tokens=token,
            submission_description=entry.message,
        )
    except UnreachableError as error:
        raise UnreachableError(f"{error}; {Path(entry.file).name}: {UNKNOWN}") from None
    # without a number it is not known yet whether it came
    return replace(entry, ref=answer.ref or 0, status="pending" if answer.ref else "sent")
