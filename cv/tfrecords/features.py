"""Which feature is what: photo, name, individual, species; and where each photo's bytes lie.

Usual names are those of Kaggle's sets (`image`, `image_name`, `target`; Happywhale's with `detic_box`, `species`), of
TensorFlow's object detection (`image/encoded`, `image/filename`, `image/object/bbox/xmin`) and of wildlife-datasets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from cv.errors import FinblendError, shown
from cv.tfrecords.example import Feature, Malformed, parse_example
from cv.tfrecords.shard import Record, Shard, shard_at
from cv.tfrecords.spec import Spec

USUAL = {
    "image": ("image", "image/encoded", "image_raw", "image_bytes", "image_jpeg", "encoded", "jpeg", "img", "photo"),
    "name": (
        *("image_name", "image_id", "file_name", "filename", "image/filename", "image/name", "posting_id"),
        *("image/source_id", "path", "name", "id"),
    ),
    "label": (
        *("individual_id", "identity", "individual", "target", "label", "label_group", "class"),
        *("image/class/text", "image/class/label"),
    ),
    "species": ("species", "species_name"),
}
# how the files of `backbones.photos` begin
_PHOTOS = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"II*\x00", b"MM\x00*", b"BM", b"GIF8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP"),
    *(b"P5", b"P6"),
)


_LONGEST_TEXT = 1000


class RecordPhoto(NamedTuple):
    """A photo in a shard: its name, its record's number and place, and where in the record its bytes are."""

    name: str
    number: int
    offset: int
    length: int
    start: int
    size: int


@dataclass(frozen=True)
class Chosen:
    """What the features of one shard are called; None where there is none (the photo's is always there)."""

    image: str
    name: str | None
    label: str | None
    species: str | None


def photos_of(spec: Spec) -> Iterator[tuple[Shard, RecordPhoto]]:
    """Where every photo is, without reading any: names and lengths alone are looked at.

    Raises
    ------
    FinblendError
        If a file is none of TFRecords, a record is damaged, truncated or has no photo, or a name stands twice.
    """
    seen: dict[str, tuple[Shard, int]] = {}
    for path in spec.paths:
        shard = shard_at(path)
        chosen: Chosen | None = None
        for record in shard.records():
            with told(shard, record):
                features = parse_example(record.data)
                chosen = chosen or choose(features, spec, shard)
                name = name_of(features, chosen, shard, record)
                start, stop = _photo(features, chosen, shard, record)
            refuse_twice(name, seen, shard, record)
            yield shard, RecordPhoto(name, record.number, record.offset, len(record.data), start, stop - start)


@contextmanager
def told(shard: Shard, record: Record) -> Iterator[None]:
    """Say of which record something is malformed."""
    try:
        yield
    except Malformed as error:
        raise FinblendError(f"{shard.path}: record {record.number}: is no tf.train.Example ({error})") from None


def choose(features: Mapping[str, Feature], spec: Spec, shard: Shard) -> Chosen:
    """Say which of a shard's features is what, by its first record."""
    named = {key: getattr(spec, key) for key in USUAL}
    for key, feature in named.items():
        if feature is not None and feature not in features:
            raise FinblendError(
                f"{spec.text}: {key}={feature}: {shard.path} has no such feature; it has {_all(features)}"
            )
    image = named["image"] or _image(features, shard)
    rest = {
        key: named[key] or next((name for name in USUAL[key] if name != image and name in features), None)
        for key in ("name", "label", "species")
    }
    return Chosen(image, **rest)


def _image(features: Mapping[str, Feature], shard: Shard) -> str:
    found = [name for name, feature in features.items() if is_photo(feature)]
    if not found:
        # the first photo may be damaged
        usual = [name for name in USUAL["image"] if name in features and features[name].kind == "bytes"]
        found = [name for name in usual if not values_of(features[name], 1)][:1]
    if not found:
        raise FinblendError(f"{shard.path}: no feature holds a photo; it has {_all(features)}")
    if len(found) > 1:
        # masks and thumbnails stand beside what is called plainly so
        plain = [name for name in USUAL["image"][:2] if name in found]
        if not plain:
            several = shown(map(_line, sorted(found)))
            raise FinblendError(f"{shard.path}: several features hold photos, {several}: say which with :image=FEATURE")
        return plain[0]
    return found[0]


def is_photo(feature: Feature) -> bool:
    """Whether a feature is one photo in a format of photo files."""
    spans = feature.spans(1) if feature.kind == "bytes" else []
    if len(spans) != 1:
        return False
    start, stop = spans[0]
    first = bytes(feature.data[start : min(stop, start + 16)])
    return first.startswith(_PHOTOS) or first[8:12] == b"WEBP" or first[4:8] == b"ftyp"


def name_of(features: Mapping[str, Feature], chosen: Chosen, shard: Shard, record: Record) -> str:
    """What a record calls its photo; `SHARD-000123`, the record's number, where no feature says it."""
    if chosen.name is None:
        return f"{shard.path.name.split('.')[0]}-{record.number:06d}"
    feature = features.get(chosen.name)
    values = (feature and values_of(feature, 1)) or []
    text = str(values[0]).strip().lstrip("/") if len(values) == 1 and not isinstance(values[0], float) else ""
    if not text:
        raise FinblendError(f"{shard.path}: record {record.number}: {_line(chosen.name)} is no name of a photo")
    return text


def values_of(feature: Feature, most: int) -> list[str] | list[int] | list[float] | None:
    """Values of a short list; None where it is a longer one, or bytes that are no text."""
    if feature.kind != "bytes":
        numbers = feature.numbers(most)
        return None if len(numbers) > most else numbers
    spans = feature.spans(most)
    if len(spans) > most or any(stop - start > _LONGEST_TEXT for start, stop in spans):
        return None
    try:
        texts = [text.decode() for text in feature.texts()]
    except UnicodeDecodeError:
        return None
    return texts if all(text.isprintable() for text in texts) else None


def refuse_twice(name: str, seen: dict[str, tuple[Shard, int]], shard: Shard, record: Record) -> None:
    """Refuse a name that another record has; note this one's."""
    if name in seen:
        other, number = seen[name]
        raise FinblendError(
            f"{shard.path}: record {record.number}: image {name} is in {other.path}, record {number}, too; every image "
            "stands once"
        )
    seen[name] = shard, record.number


def _photo(features: Mapping[str, Feature], chosen: Chosen, shard: Shard, record: Record) -> tuple[int, int]:
    feature = features.get(chosen.image)
    spans = feature.spans(1) if feature is not None and feature.kind == "bytes" else []
    if len(spans) != 1:
        raise FinblendError(
            f"{shard.path}: record {record.number}: {_line(chosen.image)} is not the bytes of one photo; it has "
            f"{_all(features)}"
        )
    return spans[0]


def _all(features: Mapping[str, Feature]) -> str:
    return (
        shown((f"{_line(name)} ({features[name].kind or 'nothing'})" for name in sorted(features)), 20) or "none at all"
    )


def _line(name: str) -> str:
    """A feature's name, for a line of text."""
    return name if name.isprintable() and name else repr(name)
