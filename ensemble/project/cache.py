"""Arrays kept under a hash of what they were computed from; the folder is safe to delete at any time."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cv.files import folder_written_beside

# raise when a computation changes, so that older results are not taken for its own
ALGORITHM = 5
KEY_LENGTH = 24
# entries that stay of what is small and belongs to one blend: comparing two of them must not drop either
FEW = 4
_NAMES, _ABOUT = "arrays.txt", "about.json"
_IN_BETWEEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)


def cached(
    folder: Path,
    name: str,
    made_from: Any,
    compute: Callable[[], Mapping[str, np.ndarray]],
    about: Mapping[str, Any] | None = None,
    keep: int = 1,
) -> dict[str, np.ndarray]:
    """Return arrays from the cache, memory-mapped, or compute and keep them.

    Parameters
    ----------
    folder : Path
        The project's cache.
    name : str
        What this is; when a new entry is written, the oldest of the same name are dropped.
    made_from : JSON value
        Everything the result depends on.
    compute : callable
        Makes the arrays.
    about : JSON mapping, optional
        Kept beside them for `entries`.
    keep : int >= 1
        Entries of this name that stay: more than one where several blends of a project take turns.
    """
    entry = _entry(folder, name, made_from)
    loaded = _load(entry)
    if loaded is None:
        arrays = compute()
        # what another process has put there meanwhile may be mapped already
        if _load(entry) is None:
            _write(entry, arrays, about)
        others = [(_written(old), old) for old in folder.glob(f"{name}-{'?' * KEY_LENGTH}") if old != entry]
        for _, old in sorted(others, reverse=True)[keep - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
        loaded = _load(entry) or dict(arrays)
    return loaded


def _write(entry: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None) -> None:
    try:
        with folder_written_beside(entry) as temporary:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array)
            (temporary / _NAMES).write_text("\n".join(arrays))
            (temporary / _ABOUT).write_text(json.dumps({"algorithm": ALGORITHM, **(about or {})}))
    except OSError as error:
        # another process that computed the same has put it there at this very moment
        if error.errno not in _IN_BETWEEN:
            raise


def is_kept(folder: Path, name: str, made_from: Any) -> bool:
    """Whether `cached` would find an entry."""
    return _load(_entry(folder, name, made_from)) is not None


def _entry(folder: Path, name: str, made_from: Any) -> Path:
    key = hashlib.sha256(json.dumps([ALGORITHM, made_from], sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
    return folder / f"{name}-{key}"


def _written(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def entries(folder: Path, name: str) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """What is kept under a name, whatever it was made from: (about, arrays), for a computation that builds on it."""
    kept = []
    for entry in sorted(folder.glob(f"{name}-{'?' * KEY_LENGTH}")):
        try:
            about = json.loads((entry / _ABOUT).read_text())
        except (OSError, ValueError):
            continue
        arrays = _load(entry)
        if arrays is not None and about.get("algorithm") == ALGORITHM:
            kept.append((about, arrays))
    return kept


def _load(entry: Path) -> dict[str, np.ndarray] | None:
    """Map an entry's arrays, or None where it is not there, incomplete or damaged."""
    try:
        names = (entry / _NAMES).read_text().splitlines()
        return {name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, EOFError):
        return None
