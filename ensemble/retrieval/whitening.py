"""Whitened spaces: fitted on the gallery photos that queries meet, written where they are not held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from postproc import Space
from postproc.neighbours.search import Views
from postproc.transforms.whitening import Whitening, fit_whitening


def fit(space: Space, kind: str, labels: np.ndarray, rows: np.ndarray) -> list[Whitening]:
    """Fit one whitening a part of the space, on the gallery photos `rows`."""
    return [fit_whitening(gallery, labels, rows, kind) for gallery in space.gallery]


def whitened(space: Space, fitted: list[Whitening], folder: Path, name: str) -> Space:
    """Map a space, each part by its own whitening.

    Parameters
    ----------
    space : Space
    fitted : list of Whitening
        One a part.
    folder : Path
        Where the mapped arrays are written: they are as large as the embeddings, so they are not held in memory.
    name : str
        Start of their file names.
    """
    parts_q, parts_g = [], []
    for p, (query, gallery) in enumerate(zip(space.query, space.gallery, strict=True)):
        views_g = _mapped(gallery, fitted[p], folder / f"{name}-{p}-gallery")
        same = all(a is b for a, b in zip(query, gallery, strict=True))
        parts_g.append(views_g)
        parts_q.append(views_g if same else _mapped(query, fitted[p], folder / f"{name}-{p}-query"))
    return Space(tuple(parts_q), tuple(parts_g))


def _mapped(views: Views, fitted: Whitening, path: Path) -> Views:
    out = []
    for v, view in enumerate(views):
        array = np.lib.format.open_memmap(
            f"{path}-{v}.npy", mode="w+", dtype=np.float32, shape=(len(view), fitted.width)
        )
        out.append(fitted.apply(view, array))
    return tuple(out)
