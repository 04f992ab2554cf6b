"""Vectors as files: npz or Parquet, in a folder that is written beside its place."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from backbones.embeddings import SPLITS
from backbones.formats.read import EXPORT_MARK
from cv.files import folder_written_beside
from ensemble.outputs.vectors.blend_space import PAYLOAD, BlendSpace
from ensemble.outputs.vectors.sink import ROLES
from ensemble.project.outputs import refuse_new_folder


@contextlib.contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder beside one that does not exist yet, renamed when all is in it."""
    refuse_new_folder(output)
    with folder_written_beside(output) as temporary:
        yield temporary


@dataclass(frozen=True)
class NpzSink:
    """One `.npz` a space: `train_image, train_embedding, test_image, test_embedding`, one embedding a view."""

    output: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.output)

    def write(self, spaces: Sequence[BlendSpace]) -> list[str]:
        """Write the files; arrays go through memory block by block."""
        with new_folder(self.output) as folder:
            for space in spaces:
                with zipfile.ZipFile(folder / f"{space.name}.npz", "w") as archive:
                    _write_npz(archive, space)
        return [f"{space.name}.npz" for space in spaces]


def _write_npz(archive: zipfile.ZipFile, space: BlendSpace) -> None:
    def member(name: str) -> IO[bytes]:
        return archive.open(f"{name}.npy", "w", force_zip64=True)

    with member(EXPORT_MARK) as file:
        np.lib.format.write_array(file, np.array(space.project), allow_pickle=False)
    for split in SPLITS:
        images = space.photos(split)["image"].to_numpy().astype("U")[: space.rows(split) // len(space.views)]
        with member(f"{split}_image") as file:
            np.lib.format.write_array(file, images, allow_pickle=False)
        for view in space.views:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), space.width)}
            with member(f"{split}_embedding" if len(space.views) == 1 else f"{split}_embedding_{view}") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for block in space.blocks(split, view):
                    file.write(block.astype("<f4", copy=False).data)


@dataclass(frozen=True)
class ParquetSink:
    """Two `.parquet` a space, gallery and queries: what is known of a photo, and `vector`, a fixed-size list."""

    output: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.output)

    def write(self, spaces: Sequence[BlendSpace]) -> list[str]:
        """Write the files, a row group a block."""
        written = []
        with new_folder(self.output) as folder:
            for space in spaces:
                for split in SPLITS:
                    written.append(f"{space.name}-{ROLES[split]}.parquet")
                    _write_parquet(folder / written[-1], space, split)
        return written


def _write_parquet(path: Path, space: BlendSpace, split: str) -> None:
    kinds = {name: pa.int32() if name == "fold" else pa.string() for name in PAYLOAD}
    vector = pa.list_(pa.field("item", pa.float32()), space.width)
    schema = pa.schema([*kinds.items(), ("vector", vector)], metadata={EXPORT_MARK: space.project})
    # floats of vectors neither repeat nor compress
    with pa.parquet.ParquetWriter(path, schema, compression="NONE", use_dictionary=list(kinds)) as writer:
        for batch in space.batches(split):
            known = [batch.photos[name].to_arrow().cast(kind) for name, kind in kinds.items()]
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(batch.vectors.reshape(-1)), type=vector)
            writer.write_table(pa.Table.from_arrays([*known, vectors], schema=schema))
