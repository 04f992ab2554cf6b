"""`.npz` and `.npy` files."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cv.errors import FinblendError
from cv.files import beginning_of

# what numpy and zipfile raise on damaged, encrypted or foreign archives
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
    RuntimeError,  # NotImplementedError among them
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read every array of an `.npz`; files that hold pickled objects are refused."""
    arrays: dict[str, np.ndarray] = {}
    key = None
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it is one array; an .npy under another name")
        with loaded as file:
            for key in file.files:
                arrays[key] = file[key]
    except _BROKEN as error:
        raise FinblendError(_reason(path, key, error)) from None
    return arrays


def read_npy(path: Path) -> np.ndarray:
    """Map an `.npy` into memory; files that hold pickled objects are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive; an .npz under another name")
    except _BROKEN as error:
        raise FinblendError(_reason(path, None, error)) from None
    return array


def _reason(path: Path, key: str | None, error: Exception) -> str:
    where = f"{path}: {key}" if key else f"{path}"
    # numpy takes for a pickle whatever it does not know
    if key is None and not _may_hold_arrays(path):
        return f"{path}: is no {path.suffix[1:]} file{beginning_of(path)}"
    if "allow_pickle" in str(error) or "Object arrays" in str(error):
        return f"{where}: holds pickled Python objects, which finblend never loads; save names with dtype 'U' instead"
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{where}: cannot be read as {path.suffix[1:]} ({reason})"


def _may_hold_arrays(path: Path) -> bool:
    """Whether a file begins as an archive, an array or a pickle does, or cannot be asked; an empty one may."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError:
        return True
    return not first or first.startswith((b"PK", b"\x93NUM", b"\x80"))
