"""A file as a server tells of it, and whether a file here is the same."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What a server says of a file.

    Attributes
    ----------
    name : str
        The last part of its address, empty where that is none of the file's own.
    size : int or None
        Bytes.
    validator : str
        Tells this content from another under the same name; empty where the server says nothing of the kind.
    md5 : str
        Hex, or empty.
    modified : float or None
        Seconds since 1970.
    """

    name: str
    size: int | None
    validator: str
    md5: str
    modified: float | None

    @classmethod
    def of(cls, response: Any) -> Remote:
        """From the headers of a whole answer, `requests.Response`."""
        headers: Mapping[str, str] = response.headers
        length = headers.get("Content-Length", "")
        hashes = dict(part.strip().split("=", 1) for part in headers.get("x-goog-hash", "").split(",") if "=" in part)
        try:
            md5 = base64.b64decode(hashes.get("md5", ""), validate=True).hex()
        except ValueError:
            md5 = ""
        try:
            modified = parsedate_to_datetime(headers["Last-Modified"]).timestamp()
        except (KeyError, ValueError):
            modified = None
        return cls(
            name=unquote(urlsplit(response.url).path).rpartition("/")[2] if response.history else "",
            size=int(length) if length.isdecimal() else None,
            validator=headers.get("ETag") or headers.get("Last-Modified") or "",
            md5=md5,
            modified=modified,
        )

    def is_whole(self, path: Path) -> bool:
        """Whether a file is this one: by its checksum where the server tells one, else by size and time."""
        stat = path.stat()
        if self.size is not None and stat.st_size != self.size:
            return False
        if self.md5:
            return md5_of(path) == self.md5
        return self.modified is None or abs(stat.st_mtime - self.modified) < 2

    def part_of(self, path: Path) -> Path:
        """Where what has come of it is kept: named by content, so that two contents never mix."""
        mark = hashlib.sha256(f"{self.validator} {self.size} {self.md5}".encode()).hexdigest()[:12]
        return path.with_name(f".{path.name}.{mark}.part")


def md5_of(path: Path) -> str:
    """Hex MD5 of a file's bytes: what storage tells of its files."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
