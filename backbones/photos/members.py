"""A photo inside a container is a path like any other photo's, and this is where such paths are made and opened.

`CONTAINER/HOW@PLACE/NAME`: the container is a file, so that no file on disk can have such a path, and its last part is
the photo's own name. All that is needed to read the photo stands in it: a worker process needs no index.

| how | place |
|---|---|
| `record-NUMBER` | `OFFSET+LENGTH,START+SIZE`: the record's data in the (inflated) shard, the photo in the data |
| `stored`, `deflated` | `OFFSET+LENGTH,SIZE+CRC`: the member's header and packed length, its size and CRC-32 |
| `encrypted`, `method-N` | the same, but cannot be read |
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from cv.errors import FinblendError
from cv.tfrecords.shard import LONGEST, shard_at

_PATH = re.compile(
    r"^(?P<container>.+?)[/\\](?P<how>record-\d+|stored|deflated|encrypted|method-\d+)"
    r"@(?P<a>\d+)\+(?P<b>\d+),(?P<c>\d+)\+(?P<d>\d+)[/\\](?P<name>.+)$",
    re.DOTALL,
)
# signature, 22 bytes that the directory says better, lengths of name and extra field
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class Member:
    """A photo in a container.

    Attributes
    ----------
    container : Path
    how : str
    place : (int, int, int, int)
        See the module.
    name : str
    """

    container: Path
    how: str
    place: tuple[int, int, int, int]
    name: str

    def __str__(self) -> str:
        a, b, c, d = self.place
        return f"{self.container}/{self.how}@{a}+{b},{c}+{d}/{self.name}"

    @property
    def size(self) -> int:
        """Bytes of the photo."""
        return self.place[3] if self.how.startswith("record") else self.place[2]

    def read(self) -> bytes:
        """The photo's bytes, checked against the container's checksum.

        Raises
        ------
        FinblendError
            If they are damaged, truncated, or packed in a way that is not read here.
        """
        if self.how.startswith("record"):
            offset, length, start, size = self.place
            data = shard_at(self.container).read(offset, length, int(self.how.removeprefix("record-")))
            return data[start : start + size]
        return _unzipped(self)


def member_of(path: Path) -> Member | None:
    """The member that a path names; None for a plain file."""
    text = str(path)
    # nearly all paths are plain files', and have no such sign
    found = _PATH.match(text) if "@" in text else None
    if found is None or not _is_file(found["container"]):
        return None
    place = int(found["a"]), int(found["b"]), int(found["c"]), int(found["d"])
    return Member(Path(found["container"]), found["how"], place, found["name"])


@lru_cache(maxsize=4096)
def _is_file(path: str) -> bool:
    return Path(path).is_file()


def opened(path: Path) -> Path | BytesIO:
    """What Pillow is to open: the file itself, or a member's bytes in memory."""
    member = member_of(path)
    return path if member is None else BytesIO(member.read())


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of a photo, its container's time: one that changes between two calls is another photo."""
    member = member_of(path)
    stat = (path if member is None else member.container).stat()
    return stat.st_size if member is None else member.size, stat.st_mtime_ns


def is_there(path: Path) -> bool:
    """Whether there is such a photo."""
    return member_of(path) is not None or path.is_file()


def _unzipped(member: Member) -> bytes:
    offset, length, size, crc = member.place
    where = f"{member.container}: {member.name}"
    if member.how == "encrypted":
        raise FinblendError(f"{where}: is encrypted")
    if member.how.startswith("method"):
        raise FinblendError(f"{where}: is packed by {member.how}, and stored or deflated photos are read")
    if max(size, length) > LONGEST:
        raise FinblendError(f"{where}: is {size} bytes long, more than any photo")
    with member.container.open("rb") as file:
        file.seek(offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise FinblendError(f"{where}: is not where the archive's directory says")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        file.seek(name + extra, 1)
        data = file.read(length)
    if member.how == "deflated":
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size or 1)
        except zlib.error as error:
            raise FinblendError(f"{where}: its compressed data are damaged: {error}") from None
    if len(data) != size or zlib.crc32(data) != crc:
        raise FinblendError(f"{where}: its bytes and their checksum differ: they are damaged or truncated")
    return data
