"""From what stands on the command line (`FILE`, `FILE:KEY`, `'shards_*.npy'`) to embeddings."""

from __future__ import annotations

import glob
import re
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np

from backbones.embeddings import DEFAULT_VIEW, Embeddings, embeddings_from_frame
from backbones.formats.arrays import embeddings_from_arrays, listing
from backbones.formats.names import read_names
from backbones.formats.npz import read_npy, read_npz
from backbones.formats.safetensors import read_safetensors
from cv.errors import FinblendError
from cv.files import refuse_no_file
from cv.tables import read_table

# stands in files that `finblend export` writes
EXPORT_MARK = "finblend_export"


def read_embeddings(spec: str | Path, split: str, names: str | Path | None = None) -> Embeddings:
    """Read one split's embeddings of one model.

    Parameters
    ----------
    spec : str or Path
        `FILE`, `FILE:KEY` or a pattern of `.npy` shards, taken in the natural order of their names
        (`_2` before `_10`). Kinds: `.npz`, `.npy`, `.parquet`, `.csv`, `.safetensors`.
    split : {"train", "test"}
        Which half of a file that holds both.
    names : str or Path, optional
        `FILE` or `FILE:KEY` with the image name of each row, for files that hold none.

    Raises
    ------
    FinblendError
        If a file is missing, broken or ambiguous.
    """
    paths, key = resolve(spec)
    suffix = paths[0].suffix.lower()
    if len(paths) > 1 and suffix != ".npy":
        raise FinblendError(f"{spec}: matches {len(paths)} files; only .npy files may come in several parts")
    source, held = str(spec), ""
    if suffix == ".npy":
        embeddings = Embeddings({DEFAULT_VIEW: _joined(paths)}, source=source)
    elif suffix == ".npz":
        arrays = read_npz(paths[0])
        _refuse_export(paths[0], arrays)
        held = f" for its rows (it has {listing(arrays)})"
        embeddings = embeddings_from_arrays(arrays, str(paths[0]), key, split, with_names=names is None)
    elif suffix == ".safetensors":
        embeddings = embeddings_from_arrays(
            read_safetensors(paths[0]), str(paths[0]), key, split, with_names=names is None
        )
    elif suffix in {".csv", ".parquet", ".pq"}:
        if suffix != ".csv":
            _refuse_export(paths[0], _parquet_marks(paths[0]))
        table, source = read_table(paths[0])
        embeddings = embeddings_from_frame(table, source, key)
    else:
        raise FinblendError(f"{spec}: unknown kind '{suffix}'; use .npz, .npy, .parquet, .csv or .safetensors")
    if names is not None and embeddings.images is not None:
        raise FinblendError(f"{spec}: has image names of its own; leave --{split}-names out")
    if names is not None:
        name_paths, name_key = resolve(names)
        if len(name_paths) > 1:
            raise FinblendError(f"{names}: matches {len(name_paths)} files; image names come in one")
        # replacing runs the check that there is one name a row
        embeddings = replace(embeddings, images=read_names(name_paths[0], name_key, split), rows=None)
    if embeddings.images is None and embeddings.rows is None:
        raise FinblendError(f"{spec}: holds no image names{held}; give them with --{split}-names FILE")
    return embeddings


def resolve(spec: str | Path) -> tuple[list[Path], str | None]:
    """Split `FILE:KEY` and expand a pattern; a file whose name holds a colon is found as it stands."""
    text = str(spec)
    for candidate, key in ((text, None), (text.rpartition(":")[0], text.rpartition(":")[2])):
        if not candidate:
            continue
        if Path(candidate).is_file():
            return [Path(candidate)], key
        paths = sorted((Path(p) for p in glob.glob(candidate)), key=_natural)
        if paths and all(path.is_file() for path in paths):
            return paths, key
        if Path(candidate).is_dir():
            refuse_no_file(Path(candidate))
    raise FinblendError(f"{text}: no such file")


def _parquet_marks(path: Path) -> list[str]:
    """The keys of what was written beside the columns; none of a file that is no Parquet, which reading it will say."""
    import pyarrow.parquet

    try:
        return [key.decode("utf-8", "replace") for key in pyarrow.parquet.read_schema(path).metadata or {}]
    except (pyarrow.ArrowException, OSError):
        return []


def _refuse_export(path: Path, marks: Container[str]) -> None:
    if EXPORT_MARK in marks:
        raise FinblendError(f"{path}: holds the vectors of a blend, which have seen every label; nothing to score")


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _joined(paths: list[Path]) -> np.ndarray:
    parts = [read_npy(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.ndim != 2 or part.shape[1:] != parts[0].shape[1:]:
            raise FinblendError(f"{path}: shape {part.shape} does not continue {paths[0]} with {parts[0].shape}")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
