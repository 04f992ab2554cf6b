"""Framing and checksums of TFRecord files, compressed or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import PACK, framed, write_shard

from cv import FinblendError
from cv.tfrecords import inflate, shard
from cv.tfrecords.inflate import GZIP, ZLIB, Inflated
from cv.tfrecords.shard import Shard, shard_at

SOME = [b"first", b"", b"third" * 1000]


def read(path: Path, check: bool = True) -> list[bytes]:
    return [bytes(record.data) for record in Shard(path).records(check)]


def refused(path: Path, check: bool = True) -> str:
    with pytest.raises(FinblendError) as told:
        read(path, check)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_record_worked_by_hand(tmp_path: Path) -> None:
    # crc32c of "123456789" is e3069283 (RFC 3720); turned right by 15 bits and a282ead8 added: c78ab0e5
    path = tmp_path / "a.tfrec"
    written = framed(b"123456789")
    assert written[:8] == b"\x09\0\0\0\0\0\0\0"
    assert written[12:] == b"123456789" + bytes.fromhex("e5b08ac7")
    path.write_bytes(written)
    assert read(path) == [b"123456789"]


@pytest.mark.parametrize("packing", PACK)
def test_records_are_read_in_order_and_by_place(tmp_path: Path, packing: str) -> None:
    made = Shard(write_shard(tmp_path / "a.tfrec", SOME, packing))
    assert made.compressed == bool(packing)
    records = list(made.records())
    assert [record.number for record in records] == [1, 2, 3]
    assert [bytes(record.data) for record in records] == SOME
    for record in reversed(records):
        assert made.read(record.offset, len(record.data), record.number) == bytes(record.data)


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("check", [True, False])
def test_a_truncated_last_record_is_named(tmp_path: Path, packing: str, check: bool) -> None:
    whole = b"".join(map(framed, SOME))
    path = tmp_path / "a.tfrec"
    path.write_bytes(PACK[packing](whole[:-10]))
    assert refused(path, check) == (
        f"{path}: record 3: is 5000 bytes long and a checksum, and 4994 bytes are left: the file is truncated"
    )
    path.write_bytes(PACK[packing](whole[: 17 + 4 + 16 + 7]))
    assert refused(path, check) == (
        f"{path}: record 3: 7 bytes are left, and a record begins with 12: the file is truncated"
    )


@pytest.mark.parametrize("packing", ["gzip", "zlib"])
def test_a_compressed_file_that_ends_early_is_truncated(tmp_path: Path, packing: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 30_000, dtype=np.uint8).tobytes()
    path = write_shard(tmp_path / "a.tfrec", [b"first", noise], packing)
    path.write_bytes(path.read_bytes()[:-2000])
    assert refused(path) == f"{path}: record 2: the file ends before its compressed data do"
    half = bytearray(path.read_bytes())
    half[5000:9000] = bytes(4000)
    path.write_bytes(half)
    assert refused(path).startswith(f"{path}: record 2: ")


def test_wrong_checksums_are_named(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tfrec", SOME)
    whole = path.read_bytes()
    # the data of the third record begin at 21 + 16 + 12
    path.write_bytes(whole[:60] + b"?" + whole[61:])
    assert refused(path) == f"{path}: record 3: its data and their checksum differ: they are damaged"
    assert [len(data) for data in read(path, check=False)] == [5, 0, 5000]
    with pytest.raises(FinblendError, match="record 3: its data and their checksum differ"):
        Shard(path).read(49, 5000, 3)
    path.write_bytes(whole[:22] + b"?" + whole[23:])
    assert refused(path, check=False) == f"{path}: record 2: its length and its checksum differ: it is damaged"


@pytest.mark.parametrize(
    "content", [b"image,species\na.jpg,beluga\n", b"short", gzip.compress(b"text" * 9, mtime=0), b"\x1f\x8b"]
)
def test_other_files_are_no_tfrecords(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tfrec"
    path.write_bytes(content)
    assert refused(path) == (
        f"{path}: is no TFRecord file: it does not begin with a length and its checksum, compressed or not"
    )
    path.write_bytes(b"")
    assert refused(path) == f"{path}: is empty"
    assert refused(tmp_path / "gone.tfrec") == f"{tmp_path}/gone.tfrec: no such file"


def test_what_a_length_declares_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrec"
    length = struct.pack("<Q", 2**40)
    header = length + struct.pack("<I", shard.masked_crc(length))
    for packing in PACK.values():
        path.write_bytes(packing(header + b"some"))
        assert "record 1: is 1099511627776 bytes long, and a record of a photo has" in refused(path)
    length = struct.pack("<Q", 10**6)
    path.write_bytes(zlib.compress(length + struct.pack("<I", shard.masked_crc(length))))
    assert "record 1: is 1000000 bytes long, more than the file can hold" in refused(path)


@pytest.mark.parametrize("packing", PACK)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, packing: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("shard") / "a.tfrec"
    content = bytearray(PACK[packing](b"".join(map(framed, SOME[:2]))))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=20)))
    told = f"{path} is read"
    try:
        found = set(read(path))
    except FinblendError as error:
        found, told = set(), str(error)
    assert found <= set(SOME)
    assert str(path) in told
    assert "\n" not in told


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    places=st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 4000)), max_size=8),
    wbits=st.sampled_from([GZIP, ZLIB]),
)
def test_any_place_of_a_compressed_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], places: list[tuple[int, int]], wbits: int
) -> None:
    rng = np.random.default_rng(len(sizes))
    parts = [rng.integers(0, 64, size, dtype=np.uint8).tobytes() for size in sizes]
    path = tmp_path_factory.mktemp("stream") / "a"
    whole = b"".join(parts)
    # GZIP files may be joined: each part is a member of its own
    path.write_bytes(b"".join(map(gzip.compress, parts)) if wbits == GZIP else zlib.compress(whole))
    stream = Inflated(path, wbits, spacing=500)
    for start, length in places:
        assert stream.read(start, length) == whole[start : start + length]


def test_states_are_kept_thinned_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytes(2**20)
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(whole))
    stream = Inflated(path, GZIP, spacing=2**12)
    stream.read(0, len(whole))
    assert 2 < stream.states <= 1 + 2**20 // 2**12
    monkeypatch.setattr(inflate, "MOST_STATES", sum(each.states for each in inflate._STREAMS) + 20)
    many = Inflated(path, GZIP, spacing=2**9)
    many.read(0, len(whole))
    assert sum(each.states for each in inflate._STREAMS) <= inflate.MOST_STATES
    assert many.read(700_000, 10) == bytes(10)


def test_a_shard_is_opened_once_as_long_as_it_stays_the_same(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tfrec", SOME, "gzip")
    assert shard_at(path) is shard_at(path)
    before = shard_at(path)
    write_shard(path, [b"another, and longer than before"])
    assert shard_at(path) is not before


def test_without_the_package_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path / "a.tfrec", SOME)
    monkeypatch.setitem(__import__("sys").modules, "google_crc32c", None)
    with pytest.raises(
        FinblendError, match=r"google_crc32c is needed .* not installed; pip install 'finblend\[records\]'$"
    ):
        Shard(path)
