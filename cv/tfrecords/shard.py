"""One TFRecord file: records, one behind the other, each with its length and two checksums.

    length  uint64   |   masked crc32c of length  uint32   |   data   |   masked crc32c of data  uint32

Source: tensorflow/core/lib/io/record_writer.h; the crc is Castagnoli's, turned and shifted so that a checksum of bytes
that hold checksums is none of theirs. The file is as it is, or GZIP or ZLIB as a whole.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cv.errors import FinblendError
from cv.extras import load_extra
from cv.tfrecords.example import Buffer
from cv.tfrecords.inflate import GZIP, ZLIB, Ended, Inflated

# an example is a protobuf, which ends below 2 GiB; no photo is half as long
LONGEST = 2**30
_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")


class Record(NamedTuple):
    """A record: its number (the first is 1), the place of its data in the (inflated) shard, and the data."""

    number: int
    offset: int
    data: Buffer


class Shard:
    """A TFRecord file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FinblendError
        If there is no such file, or it is none of TFRecords.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size, begins = _beginning(path)
        if not self.size:
            raise FinblendError(f"{path}: is empty")
        self._inflated: Inflated | None = None
        if not _is_header(begins):
            wbits = GZIP if begins[:2] == b"\x1f\x8b" else ZLIB
            self._inflated = Inflated(path, wbits)
            try:
                begins = self._inflated.read(0, _HEADER.size)
            except Ended:
                begins = b"neither"
            # a compressed shard may hold nothing: it inflates to nothing
            if begins and not _is_header(begins):
                raise FinblendError(
                    f"{path}: is no TFRecord file: it does not begin with a length and its checksum, compressed or not"
                )

    @property
    def compressed(self) -> bool:
        """Whether it is GZIP or ZLIB."""
        return self._inflated is not None

    def records(self, check: bool = False) -> Iterator[Record]:
        """All records in their order; lengths are checked against their checksums and the file's size.

        Parameters
        ----------
        check : bool
            The data's checksums, too: all bytes are read. Without it, those that nobody looks at are not.

        Raises
        ------
        FinblendError
            If a checksum is wrong, or the last record is not all there.
        """
        return self._inflated_records(check) if self._inflated is not None else self._mapped_records(check)

    def read(self, offset: int, length: int, number: int) -> bytes:
        """The data of one record, its checksum checked.

        Parameters
        ----------
        offset, length : int
            Of the data, in the (inflated) shard.
        number : int
            For the error line.
        """
        if not 0 <= length <= LONGEST:
            raise FinblendError(f"{self.path}: record {number}: {_too_long(length)}")
        if self._inflated is not None:
            data = self._piece(offset, length + _FOOTER.size, number)
        else:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(length + _FOOTER.size)
        if len(data) < length + _FOOTER.size:
            raise FinblendError(f"{self.path}: record {number}: the file ends within it: it is truncated")
        self._refuse_damaged(data[:length], _FOOTER.unpack(data[length:])[0], number)
        return data[:length]

    def _mapped_records(self, check: bool) -> Iterator[Record]:
        with self.path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # not closed by hand: whoever was handed a record may still look at it
        view, number, at = memoryview(mapped), 0, 0
        while at < len(mapped):
            number += 1
            start = at + _HEADER.size
            length = self._length(mapped[at:start], number)
            at = start + length + _FOOTER.size
            if at > len(mapped):
                raise self._truncated(number, length, max(0, len(mapped) - start))
            if check:
                self._refuse_damaged(mapped[start : start + length], _FOOTER.unpack(mapped[at - 4 : at])[0], number)
            yield Record(number, start, view[start : start + length])

    def _inflated_records(self, check: bool) -> Iterator[Record]:
        number, at = 0, 0
        while header := self._piece(at, _HEADER.size, number + 1):
            number += 1
            start = at + _HEADER.size
            length = self._length(header, number)
            data = self._piece(start, length + _FOOTER.size, number)
            at = start + length + _FOOTER.size
            if len(data) < length + _FOOTER.size:
                raise self._truncated(number, length, len(data))
            if check:
                self._refuse_damaged(data[:length], _FOOTER.unpack(data[length:])[0], number)
            yield Record(number, start, memoryview(data)[:length])

    def _piece(self, start: int, length: int, number: int) -> bytes:
        try:
            return self._inflated.read(start, length) if self._inflated is not None else b""
        except Ended as error:
            raise FinblendError(f"{self.path}: record {number}: {error}") from None

    def _length(self, header: bytes, number: int) -> int:
        if len(header) < _HEADER.size:
            raise FinblendError(
                f"{self.path}: record {number}: {len(header)} bytes are left, and a record begins with {_HEADER.size}: "
                "the file is truncated"
            )
        if not _is_header(header):
            raise FinblendError(f"{self.path}: record {number}: its length and its checksum differ: it is damaged")
        length = int(_HEADER.unpack(header)[0])
        # nothing deflates to less than a 1032nd
        if self._inflated is not None and 1032 * self.size < length <= LONGEST:
            raise FinblendError(f"{self.path}: record {number}: is {length} bytes long, more than the file can hold")
        if length > LONGEST:
            raise FinblendError(f"{self.path}: record {number}: {_too_long(length)}")
        return length

    def _truncated(self, number: int, length: int, left: int) -> FinblendError:
        return FinblendError(
            f"{self.path}: record {number}: is {length} bytes long and a checksum, and {left} bytes are left: the file "
            "is truncated"
        )

    def _refuse_damaged(self, data: bytes, expected: int, number: int) -> None:
        if masked_crc(data) != expected:
            raise FinblendError(f"{self.path}: record {number}: its data and their checksum differ: they are damaged")


@lru_cache(maxsize=4096)
def _shard(path: Path, size: int, mtime_ns: int) -> Shard:
    return Shard(path)


def shard_at(path: Path) -> Shard:
    """The shard at a path, opened once a process as long as the file stays as it is: its kept states are kept."""
    try:
        stat = path.stat()
    except OSError:
        return Shard(path)
    return _shard(path, stat.st_size, stat.st_mtime_ns)


def is_shard(path: Path) -> bool:
    """Whether a file is one of TFRecords, by how it begins."""
    try:
        shard_at(path)
    except FinblendError:
        return False
    return True


def masked_crc(data: bytes) -> int:
    """Checksum of a record: crc32c turned right by 15 bits, plus a constant.

    Examples
    --------
    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc = int(load_extra("google_crc32c", "records").value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _is_header(header: bytes) -> bool:
    return len(header) == _HEADER.size and masked_crc(header[:8]) == _HEADER.unpack(header)[1]


def _beginning(path: Path) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            return path.stat().st_size, file.read(_HEADER.size)
    except FileNotFoundError:
        raise FinblendError(f"{path}: no such file") from None
    except OSError as error:
        raise FinblendError(f"{path}: cannot be read ({error.strerror})") from None


def _too_long(length: int) -> str:
    return f"is {length} bytes long, and a record of a photo has {LONGEST} at most"
