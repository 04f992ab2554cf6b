"""Finished parts of work: written and renamed one by one, so that it goes on wherever it was killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cv.errors import FinblendError
from cv.files import written_beside

# seconds after which every network file system shows a file that another machine wrote
SHOWN_AFTER = 90.0


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a part."""
    for is_last in (False, True):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written_beside(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            return
        except (FileNotFoundError, FinblendError):
            # another driver that is done with the same parts has removed their folder
            if is_last:
                raise


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Read a part, None where there is none or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except Exception:  # whatever a damaged archive makes its reader raise, the part is made again
        return None


def wait_for(paths: Iterable[Path]) -> None:
    """Wait until files that workers have written are seen here.

    A network file system remembers for some seconds that a file was not there.

    Raises
    ------
    FinblendError
        If one never comes.
    """
    deadline = time.monotonic() + SHOWN_AFTER
    for path in paths:
        while not path.exists():
            if time.monotonic() > deadline:
                raise FinblendError(f"{path}: was written by a worker and is not seen here")
            time.sleep(0.5)
            # read anew, a folder forgets what was not in it
            os.listdir(path.parent)
