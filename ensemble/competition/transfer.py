"""A large file over a network that breaks: what has come stays, and the next call goes on from there."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from ensemble.competition.client import Connection
from ensemble.competition.refusals import PAGE_IN_THE_WAY, UnreachableError, refusal, told
from ensemble.competition.remote import Remote, md5_of
from ensemble.project.progress import Progress
from ensemble.project.result import Result

# so much of what a break cuts off is lost
CHUNK = 1 << 18
MIB = 1 << 20
# breaks in a row, without a byte in between, after which it is left to the user
TRIES = 4
# seconds before the second try, twice as many before each further one
PAUSE = 1.0


@dataclass(frozen=True, kw_only=True)
class DownloadedFile(Result):
    """A file that is whole.

    Attributes
    ----------
    file : str
    bytes : int
    resumed_at : int
        Bytes that an earlier call had left.
    was_there : bool
        Whether nothing was fetched.
    """

    file: str
    bytes: int
    resumed_at: int = 0
    was_there: bool = False


def fetch(
    connection: Connection,
    ask: Callable[[], Any],
    place: Callable[[Remote], Path],
    progress: Progress | None = None,
) -> DownloadedFile:
    """Fetch one file whole, or say in one line why not; what has come by then stays for the next call.

    Parameters
    ----------
    connection : Connection
    ask : callable
        Asks for the file anew, and returns a `requests.Response` that streams.
    place : callable
        Where it is to stand.
    progress : callable, optional

    Raises
    ------
    FinblendError
        If another file stands there, the disk is too small, the content is damaged, or the connection is lost for good.
    """
    part, resumed_at, bar = None, None, _Bar(progress)
    tries, at = 0, 0
    while True:
        try:
            response = ask()
            remote = Remote.of(response)
            path = place(remote)
            if _is_page(response, path):
                response.close()
                raise UnreachableError(PAGE_IN_THE_WAY)
            if path.exists():
                response.close()
                return _already(path, remote)
            part = _prepared(path, remote)
            resumed_at = _size(part) if resumed_at is None else resumed_at
            _receive(connection, response, remote, part, bar)
            return _finished(path, part, remote, resumed_at)
        except UnreachableError as error:
            now = _size(part)
            tries = 1 if now > at else tries + 1
            at = now
            if tries >= TRIES:
                kept = f"; {at:,} bytes are kept, and the same command goes on from there" if at else ""
                raise UnreachableError(f"{error}{kept}") from None
            time.sleep(PAUSE * 2 ** (tries - 1))


@dataclass
class _Bar:
    """Tells progress in MiB, each once, however often a connection breaks."""

    progress: Progress | None
    shown: int = 0

    def at(self, position: int, size: int | None) -> None:
        """Tell how much has come."""
        done = position // MIB
        if self.progress is not None and done > self.shown:
            self.progress("MiB", done - self.shown, (size or position) // MIB)
            self.shown = done


def _is_page(response: Any, path: Path) -> bool:
    """Whether a page came where a file was asked for, as networks answer that want a login."""
    return "text/html" in response.headers.get("Content-Type", "") and path.suffix.lower() not in {".html", ".htm"}


def _already(path: Path, remote: Remote) -> DownloadedFile:
    if not path.is_file() or not remote.is_whole(path):
        raise FinblendError(f"{path}: is there and is not what Kaggle has under this name; move it away first")
    return DownloadedFile(file=str(path), bytes=path.stat().st_size, was_there=True)


def _prepared(path: Path, remote: Remote) -> Path:
    """The part's place; parts of other contents are of no use any more."""
    part = remote.part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{path.name}.*.part"):
        if old != part or not remote.validator or (remote.size is not None and old.stat().st_size > remote.size):
            old.unlink()
    return part


def _going_on(connection: Connection, response: Any, remote: Remote, at: int) -> tuple[Any, int]:
    """Ask for the rest; the whole comes where the server cannot part it, or has another by now."""
    request = response.request.copy()
    response.close()
    request.headers.update({"Range": f"bytes={at}-", "If-Range": remote.validator})
    with told(connection.competition, connection.credentials):
        # the certificates and proxies that are set here, as for the first request
        settings = connection.session.merge_environment_settings(request.url, {}, True, None, None)
        rest = connection.session.send(request, **settings)
    if rest.status_code == 206 and rest.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
        return rest, at
    if rest.status_code == 200 and Remote.of(rest).validator == remote.validator:
        return rest, 0
    rest.close()
    if rest.status_code >= 400 and rest.status_code != 416:
        raise refusal(rest, connection.competition, connection.credentials)
    raise UnreachableError("the file at Kaggle has just changed")


def _receive(connection: Connection, response: Any, remote: Remote, part: Path, bar: _Bar) -> None:
    """Bring the part to its whole length."""
    at, size = _size(part), remote.size
    if size is not None and at == size:
        response.close()
        return
    if at:
        response, at = _going_on(connection, response, remote, at)
    free = shutil.disk_usage(part.parent).free
    if (size or 0) - at > free:
        response.close()
        raise FinblendError(f"{part.parent}: {(size or 0) - at:,} bytes are to come, and its disk has {free:,} left")
    try:
        with response, part.open("ab" if at else "wb") as file, told(connection.competition, connection.credentials):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                file.flush()
                at += len(chunk)
                bar.at(at, size)
    # the network's errors are told already; closing a file on a full disk raises once more
    except OSError as error:
        raise FinblendError(f"{part}: cannot be written ({_reason(error)})") from None
    if size is not None and at < size:
        raise UnreachableError("the connection to Kaggle broke off")


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full; make room, and the same command goes on from there"
    return str(error.strerror)


def _finished(path: Path, part: Path, remote: Remote, resumed_at: int) -> DownloadedFile:
    size = part.stat().st_size
    if (remote.size is not None and size != remote.size) or (remote.md5 and md5_of(part) != remote.md5):
        part.unlink()
        raise FinblendError(f"{path}: came damaged, its checksum is not what Kaggle says; fetch it again")
    os.replace(part, path)
    if remote.modified is not None:
        os.utime(path, (remote.modified, remote.modified))
    return DownloadedFile(file=str(path), bytes=size, resumed_at=resumed_at)


def _size(part: Path | None) -> int:
    return part.stat().st_size if part is not None and part.exists() else 0
