"""`tf.train.Example` from its bytes: a map of names to lists of bytes, floats or whole numbers.

Read by hand and not through the package `protobuf`: that would copy every photo to learn its name. Here the values stay
where they are, and a memory map of a shard is read at its names and lengths alone.

Source: https://protobuf.dev/programming-guides/encoding, and tensorflow/core/example/{example,feature}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# bytes, a memory map, or a memoryview of either
Buffer = bytes | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# of the oneof in `Feature`: 1, 2, 3
_KINDS = ("", "bytes", "float", "int64")
_LONGEST_VARINT = 10


class Malformed(ValueError):
    """Bytes that are no message; whoever knows the file and the record says so in a `FinblendError`."""


@dataclass(frozen=True)
class Feature:
    """One feature of an example, looked into when it is asked for: most of them never are.

    Attributes
    ----------
    data : bytes or memoryview
        The record.
    start, stop : int
        Where in it the message `Feature` stands.
    """

    data: Buffer
    start: int = 0
    stop: int = 0

    @cached_property
    def kind(self) -> str:
        """`bytes`, `float` or `int64`; "" for a feature without any list."""
        return self._kind_and_lists[0]

    @cached_property
    def _kind_and_lists(self) -> tuple[str, list[tuple[int, int]]]:
        kind = ""
        lists: list[tuple[int, int]] = []
        for number, wire, first, last in _fields(self.data, self.start, self.stop):
            if wire == _BYTES and 1 <= number <= 3:
                # one list of the three: another kind takes the place of what was there, more of the same is joined
                if kind != _KINDS[number]:
                    kind, lists = _KINDS[number], []
                lists.append((first, last))
        return kind, lists

    def spans(self, most: int | None = None) -> list[tuple[int, int]]:
        """Start and stop in the record of each value of a list of bytes.

        Parameters
        ----------
        most : int, optional
            Read no more than this and one: whoever wants a short list does not wait for a long one.
        """
        found: list[tuple[int, int]] = []
        for wire, first, last in self._values():
            if most is not None and len(found) > most:
                break
            if wire == _BYTES:
                found.append((first, last))
        return found

    def texts(self) -> list[bytes]:
        """Values of a list of bytes."""
        return [bytes(self.data[first:last]) for first, last in self.spans()]

    def numbers(self, most: int | None = None) -> list[int] | list[float]:
        """Values of a list of numbers, packed or not; `most` as in `spans`."""
        return self._ints(most) if self.kind == "int64" else self._floats(most)

    def _floats(self, most: int | None) -> list[float]:
        found: list[float] = []
        for wire, first, last in self._values():
            if wire in (_BYTES, _FIXED32) and (most is None or len(found) <= most):
                if (last - first) % 4:
                    raise Malformed("a list of floats has bytes over")
                values = np.frombuffer(self.data[first:last], "<f4")
                found += values[: None if most is None else most + 1 - len(found)].tolist()
        return found

    def _ints(self, most: int | None) -> list[int]:
        found: list[int] = []
        for wire, at, last in self._values():
            place = at
            while wire in (_VARINT, _BYTES) and place < last and (most is None or len(found) <= most):
                value, place = _varint(self.data, place, last)
                found.append(value - 2**64 if value >= 2**63 else value)
        return found

    def _values(self) -> Iterator[tuple[int, int, int]]:
        """Wire type and place of each field `value`."""
        for start, stop in self._kind_and_lists[1]:
            for number, wire, first, last in _fields(self.data, start, stop):
                if number == 1:
                    yield wire, first, last


def parse_example(data: Buffer) -> dict[str, Feature]:
    r"""Read the features of an example; of a name that stands twice the last counts, as in any protobuf map.

    Parameters
    ----------
    data : bytes or memoryview

    Raises
    ------
    Malformed
        If it is none. What is in the lists is looked at when it is asked for, and may raise it, too.

    Examples
    --------
    >>> label = b"\x0a\x05label\x12\x05\x1a\x03\x0a\x01\x07"
    >>> example = parse_example(b"\x0a\x10\x0a\x0e" + label)
    >>> example["label"].kind, example["label"].numbers()
    ('int64', [7])
    """
    features: dict[str, Feature] = {}
    for number, wire, start, stop in _fields(data, 0, len(data)):
        if number == 1 and wire == _BYTES:
            for inner, kind, first, last in _fields(data, start, stop):
                if inner == 1 and kind == _BYTES:
                    name, feature = _entry(data, first, last)
                    features[name] = feature
    return features


def _entry(data: Buffer, start: int, stop: int) -> tuple[str, Feature]:
    name, feature = "", Feature(data)
    for number, wire, first, last in _fields(data, start, stop):
        if number == 1 and wire == _BYTES:
            try:
                name = str(data[first:last], "utf-8")
            except UnicodeDecodeError:
                raise Malformed("the name of a feature is no text") from None
        elif number == 2 and wire == _BYTES:
            feature = Feature(data, first, last)
    return name, feature


def _fields(data: Buffer, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and the place of the value of each field of a message."""
    at = start
    while at < stop:
        tag, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at, stop)
        number, wire = tag >> 3, tag & 7
        first = at
        if wire == _VARINT:
            _, at = _varint(data, at, stop)
        elif wire == _BYTES:
            short = at < stop and data[at] < 128
            length, first = (data[at], at + 1) if short else _varint(data, at, stop)
            at = first + length
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise Malformed(f"there is no wire type {wire}")
        if number == 0:
            raise Malformed("there is no field 0")
        if at > stop:
            raise Malformed("a field is longer than its message")
        yield number, wire, first, at


def _varint(data: Buffer, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= stop:
            raise Malformed("a number ends with its message")
        byte = data[at]
        at += 1
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value & (2**64 - 1), at
    raise Malformed("a number of more than 64 bits")
