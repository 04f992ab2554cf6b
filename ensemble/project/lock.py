"""A lock on a file: one process at a time does what it stands for, and a second one learns who does it."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cv.errors import FinblendError

_HELD_ELSEWHERE = (errno.EAGAIN, errno.EACCES)
# file systems that know no locks: nobody is kept away there
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# open files of the locks that this process holds
_held: set[int] = set()


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, or refuse because another process does.

    The system lets go of the lock when its process ends, however it ends: what was killed can go on at once.

    Parameters
    ----------
    path : Path
        Removed afterwards; its folder is made where it is absent.
    what : str
        What is done under the lock, for the error line.

    Raises
    ------
    FinblendError
        If another process (or another thread of this one) holds it.
    """
    try:
        import fcntl  # noqa: F401 - asked for here, used below
    except ImportError:  # Windows has none, and no second process is kept away there
        yield
        return
    _close_in_forks()
    file = _lock(path, what)
    _held.add(file)
    try:
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
        yield
    finally:
        # a fork has closed its copy: the lock is its parent's
        if file in _held:
            _held.discard(file)
            path.unlink(missing_ok=True)
            os.close(file)


def _lock(path: Path, what: str) -> int:
    import fcntl

    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise FinblendError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(file)
            os.close(file)
            if error.errno in _HELD_ELSEWHERE:
                raise FinblendError(f"{what}: is being made by {holder}; wait until it is done, or end it") from None
            if error.errno in _NO_LOCKS:
                return os.open(path, os.O_RDWR)
            raise FinblendError(f"{path}: cannot be locked ({error.strerror})") from None
        if _is_at(file, path):
            return file
        # its holder removed it between opening and locking
        os.close(file)


def _holder(file: int) -> str:
    """Who holds a lock, as the holder wrote it."""
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # locked a moment ago, and not written yet
        return "another process"


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@functools.cache
def _close_in_forks() -> None:
    """A forked worker would keep the lock of a run that was killed: it closes its copy when it begins."""
    os.register_at_fork(after_in_child=_close_held)


def _close_held() -> None:
    while _held:
        os.close(_held.pop())
