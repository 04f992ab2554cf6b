"""Files are written beside their place and renamed, so that nothing is ever found half-written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cv.errors import FinblendError


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary file path in the same folder; rename it to `path` on success, else remove it.

    Raises
    ------
    FinblendError
        If the folder does not exist or cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise FinblendError(f"{path}: cannot be written ({error.strerror})") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; a result shall have the permissions any new file gets
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise FinblendError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; swap it into place on success, else remove it.

    An existing folder at `path` stays untouched until the new one is complete.
    """
    if path.exists() and not path.is_dir():
        raise FinblendError(f"{path}: is a file, and a folder is to be written there")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FinblendError(f"{path}: cannot be written ({error.strerror})") from None
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)
    old = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; numbers that JSON cannot hold are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with written_beside(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one is refused in one line."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FinblendError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise FinblendError(f"{path}: is not valid JSON ({error})") from None
    except RecursionError:
        raise FinblendError(f"{path}: is not valid JSON (brackets are nested too deep)") from None


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FinblendError(f"{path}: cannot be read ({error.strerror})") from None


def refuse_no_file(path: Path, wanted: str = "a file") -> None:
    """Refuse a path at which there is no file, and say so where there is a folder."""
    if path.is_dir():
        raise FinblendError(f"{path}: is a folder, and {wanted} is wanted")
    if not path.is_file():
        raise FinblendError(f"{path}: no such file")


def refuse_no_folder(path: Path, wanted: str = "a folder") -> None:
    """Refuse a path at which there is no folder, and say so where there is a file."""
    if path.is_file():
        raise FinblendError(f"{path}: is a file, and {wanted} is wanted")
    if not path.is_dir():
        raise FinblendError(f"{path}: no such folder")


def beginning_of(path: Path) -> str:
    """How a file begins, to be put behind a line that calls it none of its kind; nothing where that is no text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npz"
    ...     _ = path.write_text("image,species,individual_id")
    ...     beginning_of(path)
    " (it begins with 'image,species,in')"
    """
    with path.open("rb") as file:
        first = file.read(16).decode("latin-1").partition("\n")[0].strip()
    return f" (it begins with '{first}')" if first.isascii() and first.isprintable() and first else ""
