"""TFRecords for tests: written as TensorFlow's writer does, without TensorFlow."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cv.tfrecords.shard import masked_crc

Value = bytes | str | int | float
PACK = {"": lambda data: data, "gzip": gzip.compress, "zlib": zlib.compress}


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values: Value | Sequence[Value], packed: bool = True) -> bytes:
    """A `Feature`: one of three lists, by the type of its first value."""
    some = [values] if isinstance(values, (bytes, str, int, float)) else list(values)
    if not some:
        return b""
    if isinstance(some[0], (bytes, str)):
        texts = [value if isinstance(value, bytes) else str(value).encode() for value in some]
        return field(1, b"".join(field(1, text) for text in texts))
    if isinstance(some[0], float):
        pieces, wire = [struct.pack("<f", value) for value in some], 5
    else:
        pieces, wire = [varint(int(value)) for value in some], 0
    if packed:
        return field(2 if wire == 5 else 3, field(1, b"".join(pieces)))
    return field(2 if wire == 5 else 3, b"".join(bytes([1 << 3 | wire]) + piece for piece in pieces))


def example(features: Mapping[str, Value | Sequence[Value]], packed: bool = True) -> bytes:
    """A `tf.train.Example`."""
    entries = (field(1, name.encode()) + field(2, feature(values, packed)) for name, values in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def framed(data: bytes) -> bytes:
    """One record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def write_shard(path: Path, examples: Iterable[bytes], packing: str = "") -> Path:
    """A TFRecord file of examples; `packing` is "", "gzip" or "zlib"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PACK[packing](b"".join(map(framed, examples))))
    return path
