"""The store of local features: one Arrow file a split and view, read by memory map, beside a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from backbones.local_features.contract import LocalFeatures
from backbones.local_features.parts import decoded
from backbones.store import hash_of_names
from cv.errors import FinblendError, shown
from cv.files import read_json, sha256_of

FORMAT = 1
MANIFEST = "manifest.json"
WHOLE, MIRRORED = "orig", "hflip"
SPLITS = ("train", "test")
_AGAIN = "extract the features again"


@dataclass(frozen=True, kw_only=True)
class FeatureManifest:
    """What stands beside a store's features.

    Attributes
    ----------
    extractor, fingerprint : str
        By which they were made.
    keypoints, width : int
        Features a photo, at most; a descriptor's parts.
    settings : dict of str to float
        How photos were shown to the extractor.
    views : list of str
        `orig`, perhaps `hflip`: the mirrored photo, its keypoints in the mirrored photo's pixels.
    photos : dict of str to int
        Number of rows per split.
    features : dict of str to int
        Number of features per split in all views.
    boxes : dict of str to int
        Photos whose features lie in a box, per split.
    images_sha256 : dict of str to str
        Hash of the image names per split: rows belong to these photos in this order.
    files : dict of str to str
        SHA-256 of each Arrow file.
    content_sha256 : str
        Hash of what is in them.
    made_from : str
        Hash of all that decides it: photos, boxes, extractor, settings.
    unreadable, notes : dict of str to str
        Photos without features, with the reason; photos that could be read, with what is wrong with them.
    versions : dict of str to str
        The libraries that read the photos.
    format : int
    """

    extractor: str
    fingerprint: str
    keypoints: int
    width: int
    settings: dict[str, float]
    views: list[str]
    photos: dict[str, int]
    features: dict[str, int]
    boxes: dict[str, int]
    images_sha256: dict[str, str]
    files: dict[str, str]
    content_sha256: str
    made_from: str
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def load(cls, path: Path) -> FeatureManifest:
        """Read a manifest; unknown keys and other formats are refused."""
        value = read_json(path)
        if not isinstance(value, dict):
            raise FinblendError(f"{path}: is not the manifest of local features")
        if value.get("format") != FORMAT:
            raise FinblendError(f"{path}: format {value.get('format')}, this finblend reads {FORMAT}")
        unknown = sorted(value.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise FinblendError(f"{path}: unknown key '{unknown[0]}'")
        try:
            manifest = cls(**value)
        except TypeError as error:
            raise FinblendError(f"{path}: is incomplete ({error})") from None
        kinds: dict[str, type] = {"int": int, "str": str, "list": list, "dict": dict}
        for f in fields(cls):
            kind = kinds[str(f.type).partition("[")[0]]
            held = getattr(manifest, f.name)
            if not isinstance(held, kind) or isinstance(held, bool):
                raise FinblendError(f"{path}: {f.name} must be a {kind.__name__}, but got {held!r}")
        return manifest


@dataclass(frozen=True)
class _Rows:
    """Where each photo's features are.

    Attributes
    ----------
    table : pyarrow.Table
        Mapped.
    counts : (n,) int64 array
    chunks, starts : (n,) int64 array
        The record batch of each photo, and its first feature there.
    """

    table: pa.Table
    counts: np.ndarray
    chunks: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, table: pa.Table) -> _Rows:
        offsets = [np.asarray(chunk.offsets).astype(np.int64) for chunk in table.column("scores").chunks]
        none = np.zeros(0, dtype=np.int64)
        return cls(
            table,
            np.concatenate([none, *(np.diff(some) for some in offsets)]),
            np.repeat(np.arange(len(offsets)), [len(some) - 1 for some in offsets]),
            np.concatenate([none, *(some[:-1] for some in offsets)]),
        )

    def values(self, name: str, row: int, across: int) -> np.ndarray:
        """One photo's values of a list column, (n, across), mapped."""
        values = self.table.column(name).chunk(int(self.chunks[row])).values
        flat = values if across == 1 else values.values
        start, stop = self.starts[row] * across, (self.starts[row] + self.counts[row]) * across
        return np.asarray(flat[start:stop]).reshape(-1, across)


@dataclass(frozen=True)
class FeatureStore:
    """Local features of a catalogue's photos; rows are a split's photos in the catalogue's order."""

    folder: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """A store comes to another process as its folder."""
        return FeatureStore, (self.folder,)

    @cached_property
    def manifest(self) -> FeatureManifest:
        """The manifest."""
        return FeatureManifest.load(self.folder / MANIFEST)

    @property
    def width(self) -> int:
        """Number of a descriptor's parts."""
        return self.manifest.width

    @property
    def views(self) -> list[str]:
        """`orig`, perhaps `hflip`."""
        return self.manifest.views

    @property
    def content_sha256(self) -> str:
        """Hash of the features, whatever the store is called."""
        return self.manifest.content_sha256

    @cached_property
    def _rows(self) -> dict[tuple[str, str], _Rows]:
        return {}

    def _of(self, split: str, view: str) -> _Rows:
        if split not in SPLITS or view not in self.views:
            raise FinblendError(
                f"{self.folder}: has no {split} photos in view '{view}'; splits are {shown(SPLITS)}, "
                f"views {shown(self.views)}"
            )
        if (split, view) not in self._rows:
            path = self.folder / file_name(split, view)
            try:
                rows = _Rows.of(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
            except (OSError, pa.ArrowException, KeyError) as error:
                raise FinblendError(f"{path}: cannot be read ({error}); {_AGAIN}") from None
            if len(rows.counts) != self.manifest.photos.get(split):
                raise FinblendError(
                    f"{path}: holds {len(rows.counts)} photos, and its manifest says otherwise; {_AGAIN}"
                )
            self._rows[split, view] = rows
        return self._rows[split, view]

    def images(self, split: str) -> list[str]:
        """The image name of each row."""
        return list(self._of(split, WHOLE).table.column("image").to_pylist())

    def counts(self, split: str, view: str = WHOLE) -> np.ndarray:
        """(n,) int64: the number of each photo's features."""
        return self._of(split, view).counts

    def photo_sizes(self, split: str) -> np.ndarray:
        """(n, 2) int32: height and width of each upright photo in full, 0 where it cannot be read."""
        table = self._of(split, WHOLE).table
        return np.column_stack([np.asarray(table.column(name)) for name in ("height", "width")])

    def of_photo(self, split: str, row: int, view: str = WHOLE) -> LocalFeatures:
        """One photo's features."""
        rows = self._of(split, view)
        return LocalFeatures(
            np.array(rows.values("keypoints", row, 4)),
            decoded(rows.values("descriptors", row, self.width)),
            rows.values("scores", row, 1)[:, 0].astype(np.float32),
        )

    def descriptors(
        self, split: str, rows: Sequence[int] | np.ndarray, view: str = WHOLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """All descriptors of some photos.

        Parameters
        ----------
        split : str
        rows : sequence of int
            Photos; may be in any order.
        view : str

        Returns
        -------
        (m, d) float32 array
            Rows of length 1, photo by photo, the strongest of each first.
        (m,) int64 array
            The photo of each: one of `rows`.
        """
        codes = self._gathered("descriptors", split, rows, view, self.width, np.int8)
        out = np.empty(codes.shape, dtype=np.float32)
        # some at a time, as decoding takes as much memory again
        for start in range(0, len(codes), 65_536):
            out[start : start + 65_536] = decoded(codes[start : start + 65_536])
        chosen = np.asarray(rows, dtype=np.int64)
        return out, np.repeat(chosen, self.counts(split, view)[chosen])

    def keypoints(self, split: str, rows: Sequence[int] | np.ndarray, view: str = WHOLE) -> np.ndarray:
        """(m, 4) float32: the keypoints of some photos, in the order of `descriptors`."""
        return self._gathered("keypoints", split, rows, view, 4, np.float32)

    def _gathered(
        self, name: str, split: str, rows: Sequence[int] | np.ndarray, view: str, across: int, dtype: Any
    ) -> np.ndarray:
        of = self._of(split, view)
        chosen = np.asarray(rows, dtype=np.int64)
        out = np.empty((int(of.counts[chosen].sum()), across), dtype=dtype)
        start = 0
        for row in chosen.tolist():
            stop = start + int(of.counts[row])
            out[start:stop] = of.values(name, row, across)
            start = stop
        return out

    def check_files(self) -> None:
        """Refuse a store whose files are not those that were written: read once before anything is computed."""
        for name, digest in self.manifest.files.items():
            if sha256_of(self.folder / name) != digest:
                raise FinblendError(f"{self.folder / name}: has changed since it was written; {_AGAIN}")

    def verify(self, images: Mapping[str, Sequence[str]]) -> None:
        """Refuse a store whose rows are not these photos in this order."""
        for split, names in images.items():
            if self.manifest.images_sha256.get(split) != hash_of_names(names):
                raise FinblendError(f"{self.folder}: its {split} photos are not the catalogue's; {_AGAIN}")


def file_name(split: str, view: str) -> str:
    """The file of a split in a view."""
    return f"{split}-{view}.arrow"
