"""The store: what one model says of every photo, in Arrow files that are read by memory map without a copy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from backbones.embeddings import SPLITS, Embeddings
from backbones.manifest import MANIFEST, Manifest, Seen
from cv.errors import FinblendError
from cv.files import folder_written_beside, sha256_of, write_json


@dataclass(frozen=True)
class Store:
    """One model's embeddings in one space; arrays come as read-only views of the mapped files."""

    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest."""
        return Manifest.load(self.folder / MANIFEST)

    @property
    def seen(self) -> Seen:
        """What the network had seen."""
        return Seen.parse(self.manifest.seen)

    @property
    def views(self) -> list[str]:
        """The view names, in order."""
        return list(self.manifest.views)

    @cached_property
    def _tables(self) -> dict[str, pa.Table]:
        tables = {}
        for split in SPLITS:
            path = self.folder / f"{split}.arrow"
            try:
                tables[split] = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            except (OSError, pa.ArrowException) as error:
                raise FinblendError(
                    f"{path}: cannot be read ({error}); register the model again with --replace"
                ) from None
        return tables

    def embedding(self, split: str, view: str) -> np.ndarray:
        """(n, d) float32 embeddings of one split in one view, mapped, in the catalogue's order."""
        column = self._tables[split].column(f"view:{view}")
        if column.num_chunks != 1:
            raise FinblendError(f"{self.folder}: {split} is stored in {column.num_chunks} pieces; register it again")
        values = column.chunk(0).flatten()
        # not `to_numpy`, which imports pandas: a quarter of a second in commands that have no other need of it
        numbers = np.frombuffer(values.buffers()[1], dtype=np.float32)[values.offset :]
        return numbers[: len(values)].reshape(column.length(), -1)

    def images(self, split: str) -> list[str]:
        """The image name of each row."""
        return list(self._tables[split].column("image").to_pylist())

    def prediction(self, split: str, name: str) -> np.ndarray:
        """What the model predicted beside its embeddings, (n,) or (n, m)."""
        column = self._tables[split].column(f"pred:{name}").chunk(0)
        if pa.types.is_fixed_size_list(column.type):
            return np.asarray(column.flatten()).reshape(len(column), -1)
        return np.asarray(column)

    def check_files(self) -> None:
        """Refuse a store whose files are not those that were written: read once before anything is computed."""
        for name in self._changed:
            raise FinblendError(f"{self.folder / name}: has changed since it was registered; use --replace")

    @cached_property
    def _changed(self) -> list[str]:
        return [name for name, digest in self.manifest.files.items() if sha256_of(self.folder / name) != digest]

    def verify(self, images: Mapping[str, Sequence[str]]) -> None:
        """Refuse a store whose rows are not these photos in this order."""
        for split, names in images.items():
            if self.manifest.images_sha256.get(split) != hash_of_names(names):
                raise FinblendError(
                    f"{self.folder}: its {split} rows are not the catalogue's; register it again with --replace"
                )


def write_store(
    folder: Path,
    model: str,
    seen: Seen,
    splits: Mapping[str, Embeddings],
    facts: Mapping[str, Any] | None = None,
    *,
    attachments: Mapping[str, bytes] | None = None,
    accept: Callable[[Manifest], None] | None = None,
) -> Store:
    """Write a store beside its place and rename it; an older one stays until the new one is complete.

    Parameters
    ----------
    folder : Path
    model : str
    seen : Seen
    splits : mapping of {"train", "test"} to Embeddings
        Aligned to the catalogue, float32.
    facts : mapping, optional
        Further values of the manifest: `weights_sha256`, `transform`, `sources`, `made_by`.
    attachments : mapping of file name to bytes, optional
        Files that are kept beside.
    accept : callable, optional
        Sees the finished manifest before anything is in place, and raises to refuse it.

    Raises
    ------
    FinblendError
        If the two splits differ in views or widths.
    """
    widths = {split: {view: array.shape[1] for view, array in e.views.items()} for split, e in splits.items()}
    if widths["train"] != widths["test"]:
        raise FinblendError(
            f"{splits['test'].source}: views and widths {widths['test']} differ from train's {widths['train']}; "
            "one network gives one width"
        )
    predictions = sorted(splits["train"].predictions.keys() & splits["test"].predictions.keys())
    digest = hashlib.sha256()
    for split in SPLITS:
        for view, array in splits[split].views.items():
            digest.update(f"{split} {view} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    with folder_written_beside(folder) as temporary:
        files = {}
        for split in SPLITS:
            path = temporary / f"{split}.arrow"
            _write_arrow(path, splits[split], predictions)
            files[path.name] = sha256_of(path)
        manifest = Manifest(
            model=model,
            seen=str(seen),
            views=widths["train"],
            photos={split: len(splits[split]) for split in SPLITS},
            images_sha256={split: hash_of_names(splits[split].images or []) for split in SPLITS},
            files=files,
            content_sha256=digest.hexdigest(),
            predictions=predictions,
            **(facts or {}),
        )
        if accept is not None:
            accept(manifest)
        for name, content in (attachments or {}).items():
            (temporary / name).write_bytes(content)
        write_json(temporary / MANIFEST, asdict(manifest))
    return Store(folder)


def hash_of_names(names: Sequence[str]) -> str:
    """SHA-256 of a list of names, in order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _write_arrow(path: Path, embeddings: Embeddings, predictions: Sequence[str]) -> None:
    columns: dict[str, pa.Array] = {"image": pa.array(embeddings.images, pa.string())}
    for view, array in embeddings.views.items():
        columns[f"view:{view}"] = _fixed_size_list(np.ascontiguousarray(array, dtype=np.float32))
    for name in predictions:
        values = embeddings.predictions[name]
        columns[f"pred:{name}"] = _fixed_size_list(values) if values.ndim == 2 else pa.array(values)
    batch = pa.RecordBatch.from_pydict(columns)
    # one record batch: a column in one piece can be mapped as one array
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _fixed_size_list(array: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
