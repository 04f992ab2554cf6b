"""Files of image names, one a row of embeddings."""

from __future__ import annotations

import json
from pathlib import Path

from backbones.formats.arrays import pick_array, text_list
from backbones.formats.npz import read_npy, read_npz
from cv.catalogue import IMAGE_COLUMNS
from cv.errors import FinblendError
from cv.files import refuse_no_file
from cv.tables import pick_column, read_table, text_column


def read_names(path: Path, key: str | None, split: str) -> list[str]:
    """Read names from `.txt` (one a line), `.json` (a list, or lists under keys), `.csv`/`.parquet`, `.npy`, `.npz`.

    Parameters
    ----------
    path : Path
    key : str or None
        Which list of a JSON object, which array of an `.npz`, which column of a table.
    split : {"train", "test"}
        Chosen by itself where the file has lists for both.
    """
    suffix = path.suffix.lower()
    if suffix in {".csv", ".parquet", ".pq"}:
        table, source = read_table(path)
        return text_column(table, pick_column(table, (key,) if key else IMAGE_COLUMNS, source), source).to_list()
    refuse_no_file(path)
    if suffix == ".npz":
        return text_list(pick_array(read_npz(path), str(path), key, split))
    if suffix == ".npy":
        names = read_npy(path)
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise FinblendError(f"{path}: image names must be a list of text, got {names.dtype}{list(names.shape)}")
        return text_list(names)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FinblendError(f"{path}: cannot be read as text ({error})") from None
    if suffix == ".json":
        return _from_json(text, path, key, split)
    lines = text.splitlines()
    for row, line in enumerate(lines):
        if not line.strip():
            raise FinblendError(f"{path}: row {row + 1}: the image name is empty")
    return [line.strip() for line in lines]


def _from_json(text: str, path: Path, key: str | None, split: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FinblendError(f"{path}: is not valid JSON ({error})") from None
    if isinstance(value, dict):
        wanted = key or split
        if wanted not in value:
            raise FinblendError(f"{path}: has no key '{wanted}'; it holds {', '.join(value)}; choose with {path}:KEY")
        value = value[wanted]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FinblendError(f"{path}: image names must be a list of text")
    return value
