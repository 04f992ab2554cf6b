"""`tf.train.Example`, worked by hand, written by the tests' own writer, and from bytes that are none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import example, feature, field

from cv.tfrecords.example import Malformed, parse_example

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
LISTS = st.one_of(
    st.lists(st.binary(max_size=20), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), max_size=4),
)


def test_one_worked_by_hand() -> None:
    # Example{1: Features{1: entry{1: "a", 2: Feature{3: Int64List{1: [5, -1]}}}}}
    numbers = b"\x05" + b"\xff" * 9 + b"\x01"
    lists = b"\x1a\x0d\x0a\x0b" + numbers
    entry = b"\x0a\x01a\x12\x0f" + lists
    data = b"\x0a\x16\x0a\x14" + entry
    features = parse_example(data)
    assert list(features) == ["a"]
    assert features["a"].kind == "int64"
    assert features["a"].numbers() == [5, -1]


@pytest.mark.parametrize("packed", [True, False])
@given(features=st.dictionaries(NAMES, LISTS, max_size=5))
def test_what_is_written_is_read(packed: bool, features: dict[str, list[bytes] | list[int] | list[float]]) -> None:
    read = parse_example(memoryview(example(features, packed)))
    assert read.keys() == features.keys()
    for name, values in features.items():
        kind = read[name].kind
        assert kind == ({bytes: "bytes", int: "int64", float: "float"}[type(values[0])] if values else "")
        assert (read[name].texts() if kind == "bytes" else read[name].numbers()) == values


def test_spans_point_at_the_bytes_themselves() -> None:
    data = example({"image": b"\xff\xd8\xffphoto", "name": "a.jpg"})
    ((start, stop),) = parse_example(data)["image"].spans()
    assert data[start:stop] == b"\xff\xd8\xffphoto"


def test_of_a_name_that_stands_twice_the_last_counts_and_of_two_kinds_the_last_list() -> None:
    twice = b"".join(field(1, field(1, b"a") + field(2, feature(value))) for value in (1, 2))
    assert parse_example(field(1, twice))["a"].numbers() == [2]
    both = field(1, field(1, field(1, b"a") + field(2, feature([1, 2]) + feature("text") + feature("more"))))
    assert parse_example(both)["a"].texts() == [b"text", b"more"]


def test_long_lists_are_read_no_further_than_is_asked() -> None:
    features = parse_example(example({"i": list(range(100)), "f": [0.5] * 100, "b": ["x"] * 100}))
    assert len(features["i"].numbers(4)) == len(features["f"].numbers(4)) == len(features["b"].spans(4)) == 5


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "a number ends with its message"),
        (b"\x0a\x05ab", "a field is longer than its message"),
        (b"\x0b", "no wire type 3"),
        (b"\x02\x00", "no field 0"),
        (b"\xff" * 11, "more than 64 bits"),
        (field(1, field(1, field(1, b"\xff"))), "the name of a feature is no text"),
    ],
)
def test_what_is_no_example_says_why(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_example(data)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: field(1, field(1, field(1, b"a") + data))))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        for each in parse_example(data).values():
            assert each.kind in {"", "bytes", "float", "int64"}
            each.spans()
            each.numbers()
