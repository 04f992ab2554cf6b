"""The pair store: what a pair source says of query photos and gallery photos, sparse, in Arrow files read by map."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from backbones.embeddings import SPLITS
from cv.errors import FinblendError
from cv.files import folder_written_beside, read_json, sha256_of, write_json

FORMAT = 1
MANIFEST = "manifest.json"
_COLUMNS = {"query": np.int32, "gallery": np.int32, "score": np.float32, "second": np.float32}


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Compared pairs of one split.

    Attributes
    ----------
    query, gallery : (m,) int32 arrays
        Rows of the split's and of the train photos, ascending by query, then gallery; no pair twice.
    score : (m,) float32 array
        Higher is more alike.
    second : (m,) float32 array or None
        A second number, NaN where a pair has none.
    points : list of (k, 4) float32 arrays or None, optional
        Matched points of a pair, x and y in the query photo, x and y in the gallery photo, in shares of their width and
        height; None for pairs whose points are not kept.
    """

    query: np.ndarray
    gallery: np.ndarray
    score: np.ndarray
    second: np.ndarray | None = None
    points: list[np.ndarray | None] | None = None

    def __post_init__(self) -> None:
        columns = (self.gallery, self.score, self.second, self.points)
        if any(each is not None and len(each) != len(self.query) for each in columns):
            raise FinblendError(f"{len(self.query)} pairs need as many gallery rows, scores and points")

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.query)


@dataclass(frozen=True, kw_only=True)
class PairManifest:
    """What stands beside the pairs.

    Attributes
    ----------
    name : str
    photos_sha256 : str
        Hash of the photos, individuals and folds that pairs were made for.
    pairs : dict of str to int
        Number of pairs per split.
    files : dict of str to str
        SHA-256 of each Arrow file.
    content_sha256 : str
        Hash of the pairs and their numbers.
    has_second : bool
    made : dict of str to JSON value
        How it came about: features, matcher, verification, or the file it was registered from.
    made_by : str
        finblend's version.
    format : int
    """

    name: str
    photos_sha256: str
    pairs: dict[str, int]
    files: dict[str, str]
    content_sha256: str
    has_second: bool
    made: dict[str, Any] = field(default_factory=dict)
    made_by: str = ""
    format: int = FORMAT

    @classmethod
    def load(cls, path: Path) -> PairManifest:
        """Read a manifest; unknown keys and other formats are refused."""
        value = read_json(path)
        names = {f.name for f in fields(cls)}
        if not isinstance(value, dict) or value.keys() - names or value.get("format") != FORMAT:
            raise FinblendError(f"{path}: is not a manifest of pairs in format {FORMAT}; match or register them again")
        try:
            manifest = cls(**value)
        except TypeError as error:
            raise FinblendError(f"{path}: is incomplete ({error}); match or register the pairs again") from None
        for name, kind in (("pairs", dict), ("files", dict), ("content_sha256", str), ("has_second", bool)):
            if not isinstance(getattr(manifest, name), kind):
                raise FinblendError(f"{path}: {name} must be a {kind.__name__}, but got {getattr(manifest, name)!r}")
        return manifest


@dataclass(frozen=True)
class PairStore:
    """One pair source's pairs; arrays come as read-only views of the mapped files."""

    folder: Path

    @cached_property
    def manifest(self) -> PairManifest:
        """The manifest."""
        return PairManifest.load(self.folder / MANIFEST)

    def pairs(self, split: str) -> Pairs:
        """The pairs of one split, mapped, without their points."""
        table = self._table(split)

        def column(name: str) -> np.ndarray:
            return np.asarray(table.column(name).chunk(0).to_numpy(zero_copy_only=True))

        return Pairs(
            query=column("query"),
            gallery=column("gallery"),
            score=column("score"),
            second=column("second") if self.manifest.has_second else None,
        )

    def points(self, split: str, row: int) -> np.ndarray | None:
        """(k, 4) matched points of the pair in a row, None where they are not kept."""
        value = self._table(split).column("points").chunk(0)[row].values
        return None if value is None else np.asarray(value.to_numpy()).reshape(-1, 4)

    def _table(self, split: str) -> pa.Table:
        path = self.folder / f"{split}.arrow"
        try:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowException) as error:
            raise FinblendError(f"{path}: cannot be read ({error}); match or register the pairs again") from None

    def check_files(self) -> None:
        """Refuse pairs whose files are not those that were written."""
        for name, digest in self.manifest.files.items():
            if sha256_of(self.folder / name) != digest:
                raise FinblendError(f"{self.folder / name}: has changed since it was written; use --replace")

    def verify(self, photos_sha256: str) -> None:
        """Refuse pairs of other photos, individuals or folds."""
        if self.manifest.photos_sha256 != photos_sha256:
            raise FinblendError(
                f"{self.folder}: was made for other photos, individuals or folds than the catalogue's; "
                "match or register the pairs again with --replace"
            )


def write_pair_store(
    folder: Path,
    name: str,
    splits: Mapping[str, Pairs],
    *,
    photos_sha256: str,
    made: Mapping[str, Any],
    made_by: str = "",
) -> PairStore:
    """Write pairs beside their place and rename them; older ones stay until the new ones are complete.

    Parameters
    ----------
    folder : Path
    name : str
    splits : mapping of {"train", "test"} to Pairs
    photos_sha256, made, made_by
        As of `PairManifest`.
    """
    has_second = any(pairs.second is not None for pairs in splits.values())
    digest = hashlib.sha256()
    for split in SPLITS:
        _refuse_disorder(name, split, splits[split])
        for column, dtype in _COLUMNS.items():
            array = getattr(splits[split], column)
            digest.update(f"{split} {column}".encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array, dtype=dtype).data)
    with folder_written_beside(folder) as temporary:
        files = {}
        for split in SPLITS:
            path = temporary / f"{split}.arrow"
            _write_arrow(path, splits[split], has_second)
            files[path.name] = sha256_of(path)
        manifest = PairManifest(
            name=name,
            photos_sha256=photos_sha256,
            pairs={split: len(splits[split]) for split in SPLITS},
            files=files,
            content_sha256=digest.hexdigest(),
            has_second=has_second,
            made=dict(made),
            made_by=made_by,
        )
        write_json(temporary / MANIFEST, asdict(manifest))
    return PairStore(folder)


def _refuse_disorder(name: str, split: str, pairs: Pairs) -> None:
    """Pairs are looked up by bisection: by query, then gallery, no pair twice."""
    query, gallery = np.diff(pairs.query), np.diff(pairs.gallery)
    wrong = np.flatnonzero((query < 0) | ((query == 0) & (gallery <= 0)))
    if len(wrong):
        at = wrong[0] + 1
        pair = f"pair {at} of {split}, ({pairs.query[at]}, {pairs.gallery[at]}),"
        raise FinblendError(f"{name}: {pair} must stand behind the one before it, by query, then gallery")


def _write_arrow(path: Path, pairs: Pairs, has_second: bool) -> None:
    columns: dict[str, pa.Array] = {}
    for column, dtype in _COLUMNS.items():
        array = getattr(pairs, column)
        if array is not None or has_second:
            array = np.full(len(pairs), np.nan) if array is None else array
            columns[column] = pa.array(np.asarray(array, dtype=dtype))
    points = [None] * len(pairs) if pairs.points is None else pairs.points
    flat = [None if each is None else np.asarray(each, dtype=np.float32).ravel() for each in points]
    columns["points"] = pa.array(flat, pa.list_(pa.float32()))
    batch = pa.RecordBatch.from_pydict(columns)
    # one record batch: a column in one piece can be mapped as one array
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
