"""Finished parts of a matching: written and renamed one by one, so that it goes on wherever it was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cv.files import written_beside


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Read a part, None where there is none or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except Exception:  # whatever a damaged archive makes its reader raise, the part is made again
        return None
