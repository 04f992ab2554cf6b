"""Both sides real: what TensorFlow writes is read here, and what the tests write is read by TensorFlow.

Runs where TensorFlow is installed, which finblend itself never needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import example, write_shard

from cv.tables import read_table
from cv.tfrecords.example import parse_example
from cv.tfrecords.shard import Shard

tf = pytest.importorskip("tensorflow")

FEATURES: dict[str, Any] = {
    "image": b"\xff\xd8\xff" + bytes(range(256)) * 400,
    "image_name": "0a1b.jpg",
    "target": 15586,
    "detic_box": [-1, 0, 300, 2**40],
    "scores": [0.5, -1.25],
    "texts": ["a", "ü"],
    "nothing": [],
}
PACKINGS = {"": "", "gzip": "GZIP", "zlib": "ZLIB"}


def _feature(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    train = tf.train
    if not values:
        return train.Feature()
    if isinstance(values[0], float):
        return train.Feature(float_list=train.FloatList(value=values))
    if isinstance(values[0], int):
        return train.Feature(int64_list=train.Int64List(value=values))
    texts = [text if isinstance(text, bytes) else text.encode() for text in values]
    return train.Feature(bytes_list=train.BytesList(value=texts))


def _example(number: int) -> Any:
    features = FEATURES | {"image_name": f"{number}.jpg", "target": number % 7}
    return tf.train.Example(
        features=tf.train.Features(feature={name: _feature(value) for name, value in features.items()})
    )


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_tensorflow_writes_is_read(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a.tfrec"
    with tf.io.TFRecordWriter(str(path), PACKINGS[packing]) as writer:
        for number in range(60):
            writer.write(_example(number).SerializeToString())
    shard = Shard(path)
    assert shard.compressed == bool(packing)
    records = list(shard.records(check=True))
    assert len(records) == 60
    read = parse_example(records[17].data)
    assert read.keys() == FEATURES.keys()
    assert read["image"].texts() == [FEATURES["image"]]
    assert read["detic_box"].numbers() == FEATURES["detic_box"]
    assert read["scores"].numbers() == FEATURES["scores"]
    assert [text.decode() for text in read["texts"].texts()] == FEATURES["texts"]
    assert read["nothing"].kind == ""
    for record in records[::-7]:
        assert shard.read(record.offset, len(record.data), record.number) == bytes(record.data)
    table = read_table(path)[0]
    assert table["image"].to_list() == [f"{number}.jpg" for number in range(60)]
    assert table["individual_id"].to_list() == [number % 7 for number in range(60)]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("packed", [True, False])
def test_tensorflow_reads_what_the_tests_write(tmp_path: Path, packing: str, packed: bool) -> None:
    path = write_shard(tmp_path / "a.tfrec", [example(FEATURES, packed)] * 3, packing)
    records = [record.numpy() for record in tf.data.TFRecordDataset([str(path)], compression_type=PACKINGS[packing])]
    assert len(records) == 3
    read = tf.train.Example.FromString(records[2])
    wanted = {name: _feature(value) for name, value in FEATURES.items()}
    assert read == tf.train.Example(features=tf.train.Features(feature=wanted))
