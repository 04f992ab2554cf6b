"""Finished parts become a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from backbones.local_features.contract import LocalExtractor
from backbones.local_features.parts import digest_of, read_part
from backbones.local_features.shown import CONTEXT, LONG_SIDE, MARGIN
from backbones.local_features.store import MANIFEST, SPLITS, FeatureManifest, FeatureStore, file_name
from backbones.store import hash_of_names
from cv.errors import FinblendError
from cv.files import folder_written_beside, sha256_of, write_json


@dataclass(frozen=True)
class Part:
    """Some photos of one split in one view, as they are to be kept.

    Attributes
    ----------
    split, view : str
    rows : range
        Of all photos.
    path : Path
    """

    split: str
    view: str
    rows: range
    path: Path


@dataclass
class _Tally:
    """What was found in parts."""

    features: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)

    def add(self, split: str, batch: pa.RecordBatch) -> None:
        self.features[split] += len(batch.column("scores").values)
        self.digests.append(digest_of(batch))
        columns = (batch.column(name).to_pylist() for name in ("image", "failed", "note"))
        for image, failed, note in zip(*columns, strict=True):
            if note:
                (self.unreadable if failed else self.notes)[image] = note


def made_from(parts: Iterable[Part]) -> str:
    """Hash of all that decides what is in a store: its parts are named by it."""
    return hashlib.sha256("\n".join(part.path.name for part in parts).encode()).hexdigest()


def finished(folder: Path, parts: Sequence[Part]) -> FeatureStore | None:
    """The store that is there already, if it was made of these parts and is whole."""
    store = FeatureStore(folder)
    try:
        if store.manifest.made_from != made_from(parts):
            return None
        store.check_files()
    except FinblendError:
        return None
    return store


def finish(
    folder: Path,
    parts: Sequence[Part],
    names: Sequence[str],
    extractor: LocalExtractor,
    keypoints: int,
    boxed: Sequence[bool],
) -> FeatureStore:
    """Join parts into a store beside its place, and rename it; parts go with the old folder.

    Parameters
    ----------
    folder : Path
    parts : sequence of Part
        In the order of photos within each split and view.
    names : sequence of str
    extractor : LocalExtractor
    keypoints : int
    boxed : sequence of bool
        Whether a photo has a box.
    """
    views = list(dict.fromkeys(part.view for part in parts))
    rows = {split: sorted({row for part in parts if part.split == split for row in part.rows}) for split in SPLITS}
    tally = _Tally()
    with folder_written_beside(folder) as temporary:
        files = {}
        for split in SPLITS:
            for view in views:
                path = temporary / file_name(split, view)
                _join(path, [part for part in parts if (part.split, part.view) == (split, view)], names, tally)
                files[path.name] = sha256_of(path)
        manifest = FeatureManifest(
            extractor=extractor.name,
            fingerprint=extractor.fingerprint,
            keypoints=keypoints,
            width=extractor.width,
            settings={"long_side": LONG_SIDE, "margin": MARGIN, "context": CONTEXT},
            views=views,
            photos={split: len(rows[split]) for split in SPLITS},
            features=tally.features,
            boxes={split: sum(boxed[row] for row in rows[split]) for split in SPLITS},
            images_sha256={split: hash_of_names([names[row] for row in rows[split]]) for split in SPLITS},
            files=files,
            content_sha256=hashlib.sha256("\n".join(tally.digests).encode()).hexdigest(),
            made_from=made_from(parts),
            unreadable=tally.unreadable,
            notes=tally.notes,
            versions={"pillow": version("pillow")},
        )
        write_json(temporary / MANIFEST, asdict(manifest))
    return FeatureStore(folder)


def _join(path: Path, parts: Sequence[Part], names: Sequence[str], tally: _Tally) -> None:
    """Copy parts into one file, a record batch each."""
    writer = None
    with pa.OSFile(str(path), "wb") as sink:
        for part in parts:
            batch = read_part(part.path, [names[row] for row in part.rows])
            if batch is None:
                raise FinblendError(f"{part.path}: has changed since it was written; call it again and it is made anew")
            batch = batch.replace_schema_metadata(None)
            writer = writer or pa.ipc.new_file(sink, batch.schema)
            writer.write_batch(batch)
            tally.add(part.split, batch)
        if writer is not None:
            writer.close()
