"""Scores of pairs of photos, as other programs write them: lists in tables or `.npz`, matrices in `.npz`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backbones.formats.named_pairs import NamedPairs, pick_key
from backbones.formats.npz import read_npz
from backbones.formats.pair_lists import from_list, table_of_arrays
from backbones.formats.pair_matrices import from_matrix
from cv.files import refuse_no_file

SCORE = ("score", "similarity")
DISTANCE = ("distance",)


def read_pairs(
    given: Any,
    names: Sequence[str],
    *,
    score: str | None = None,
    second: str | None = None,
    lower_is_better: bool = False,
) -> NamedPairs:
    """Read scores of pairs.

    Parameters
    ----------
    given : path, polars or pandas frame
        `.csv` or `.parquet` with columns `query`, `gallery`, `score` and perhaps `second`; `.npz` with arrays of these
        names, or with a matrix `score` (n, m) and the names `query` (n) and `gallery` (m), or `names` of a square one.
        NaN in a matrix says that the pair was not compared.
    names : sequence of str
        Every photo that may be named, each once.
    score, second : str, optional
        The columns, under other names.
    lower_is_better : bool
        Whether a column `distance` is a score, too.

    Raises
    ------
    FinblendError
        If a photo is unknown, or a number missing, no number, or not finite; rows count from 1.
    """
    taken = (DISTANCE + SCORE if lower_is_better else SCORE) if score is None else (score,)
    if isinstance(given, (str, Path)) and Path(given).suffix.lower() == ".npz":
        refuse_no_file(Path(given))
        arrays = read_npz(Path(given))
        key = pick_key(arrays, taken, str(given))
        if arrays[key].ndim == 2:
            return from_matrix(arrays, str(given), names, key, second)
        given, what = table_of_arrays(arrays, str(given), key, second), str(given)
    else:
        what = "pairs"
    return from_list(given, what, names, taken, second)
