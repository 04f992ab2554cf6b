"""Any place of what a GZIP or ZLIB file holds, without unpacking it to disk.

A deflated stream can only be read from its beginning, or from a state of the decoder that was kept: one each MiB (39 KB
each). A place is then half a MiB from the state before it in the mean, and reading on where the last call ended costs
nothing more. All streams of a process keep 2,048 states between them (80 MB); where there would be more, the stream
with the most gives up every second, and its distances double. States are kept in the process that walked there: worker
processes that are forked inherit them, those that are spawned walk once themselves.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakSet

GZIP, ZLIB = 31, 15
SPACING = 2**20
MOST_STATES = 2048
_CHUNK = 16 * 2**10
_PIECE = 256 * 2**10
_GZIP_MAGIC = b"\x1f\x8b"

# where the stream is, where its file is read on, the decoder there
_State = tuple[int, int, Any]


class Ended(ValueError):
    """A stream that is damaged or ends too early."""


class Inflated:
    """What a compressed file holds, by place.

    Parameters
    ----------
    path : Path
    wbits : {GZIP, ZLIB}
    spacing : int
        Bytes of the stream between kept states.
    """

    def __init__(self, path: Path, wbits: int, spacing: int = SPACING) -> None:
        self.path, self.wbits, self.spacing = path, wbits, spacing
        self._states: list[_State] = [(0, 0, None)]
        self._last: _State | None = None
        _STREAMS.add(self)

    def read(self, start: int, length: int) -> bytes:
        """Bytes from a place on; fewer where the stream ends.

        Raises
        ------
        Ended
            If the stream is damaged before that, or its file ends before the stream does.
        """
        stop = start + length
        at, place, decoder = self._before(start)
        found = bytearray()
        # opened anew each time: a file that is kept open would share its place with forked workers
        with self.path.open("rb") as file:
            file.seek(place)
            self._walk(file, decoder, at, start, stop, found)
        return bytes(found)

    def _walk(self, file: BinaryIO, decoder: Any, at: int, start: int, stop: int, found: bytearray) -> None:
        """Inflate up to `stop`, and add what stands from `start` on to what is found."""
        while at < stop:
            if decoder.eof:
                rest = decoder.unused_data
                rest += file.read(_CHUNK) if len(rest) < len(_GZIP_MAGIC) else b""
                if self.wbits != GZIP or not rest.startswith(_GZIP_MAGIC):
                    break
                decoder = zlib.decompressobj(self.wbits)
                piece = self._inflate(decoder, rest, min(_PIECE, stop - at))
            else:
                fed = decoder.unconsumed_tail or file.read(_CHUNK)
                piece = self._inflate(decoder, fed, min(_PIECE, stop - at))
                if not fed and not piece and not decoder.eof:
                    raise Ended("the file ends before its compressed data do")
            if at + len(piece) > start:
                found += piece[max(0, start - at) :]
            at += len(piece)
            if at - self._states[-1][0] >= self.spacing:
                self._states.append((at, file.tell(), decoder.copy()))
                _thin()
        self._last = (at, file.tell(), decoder)

    def _inflate(self, decoder: Any, fed: bytes, most: int) -> bytes:
        try:
            return bytes(decoder.decompress(fed, most))
        except zlib.error as error:
            raise Ended(f"its compressed data are damaged: {error}") from None

    def _before(self, start: int) -> _State:
        at, place, decoder = self._states[bisect_right([state[0] for state in self._states], start) - 1]
        last, self._last = self._last, None
        if last is not None and at <= last[0] <= start:
            return last
        return at, place, zlib.decompressobj(self.wbits) if decoder is None else decoder.copy()

    def thin(self) -> None:
        """Give up every second state."""
        self._states = self._states[::2]
        self.spacing *= 2

    @property
    def states(self) -> int:
        """Number of kept states."""
        return len(self._states)


# of this process
_STREAMS: WeakSet[Inflated] = WeakSet()


def _thin() -> None:
    if sum(stream.states for stream in _STREAMS) > MOST_STATES:
        max(_STREAMS, key=lambda stream: stream.states).thin()
