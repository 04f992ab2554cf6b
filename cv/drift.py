"""Drift: whether pseudo-labels make those grow who are frequent already, the known failure of several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from cv.catalogue import Catalogue

# the most photographed individuals: this share of them
TOP = 0.1


def drift(names: Sequence[str], photos: np.ndarray, added: np.ndarray, exponent: float | None) -> dict[str, Any]:
    """Compare whom pseudo-labels name with whom test photos are expected to show.

    Parameters
    ----------
    names : sequence of str
    photos : (n,) int array >= 0
        Labelled photos of each individual.
    added : (n,) int array >= 0
        Pseudo-labelled ones.
    exponent : float or None
        Test photos of an individual are expected in proportion to (its photos) ** exponent (see `cv.Mix`; None: 1).

    Returns
    -------
    dict
        `individuals` that are named; `top_share`: share of the added photos on the most photographed tenth of the
        individuals, `top_expected`: what the mix gives them, `top_train`: their share of the labelled photos;
        `doubled`: individuals with more added photos than labelled ones; `most_grown`: who has got the most for each
        labelled photo (`individual_id, train, pseudo`; None where nobody has got any).

    Examples
    --------
    Ten individuals, of whom one has 11 photos; she gets 3 of 4 new ones, where half of them were expected.

    >>> photos, added = np.array([11] + [1] * 9), np.array([3, 1] + [0] * 8)
    >>> found = drift(list("abcdefghij"), photos, added, 1.0)
    >>> found["top_share"], found["top_expected"], found["doubled"], found["most_grown"]["individual_id"]
    (0.75, 0.55, 0, 'b')
    """
    rate = np.where(photos > 0, photos.astype(np.float64) ** (1.0 if exponent is None else exponent), 0.0)
    top = np.argsort(-photos, kind="stable")[: int(np.ceil(TOP * np.count_nonzero(photos)))]
    total = int(added.sum())
    grown = added / np.maximum(photos, 1)
    most = int(grown.argmax())
    return {
        "individuals": int(np.count_nonzero(added)),
        "top_share": float(added[top].sum() / total) if total else None,
        "top_expected": float(rate[top].sum() / rate.sum()),
        "top_train": float(photos[top].sum() / photos.sum()),
        "doubled": int(np.count_nonzero(added > photos)),
        "most_grown": {"individual_id": names[most], "train": int(photos[most]), "pseudo": int(added[most])}
        if total
        else None,
    }


def drift_of(catalogue: Catalogue, named: pl.Series, exponent: float | None) -> dict[str, Any]:
    """Drift of the individuals' counts by whom pseudo-labels name; see `drift`."""
    n = len(catalogue.individuals)
    added = np.bincount(np.searchsorted(catalogue.individuals, named.to_numpy()), minlength=n)
    return drift(catalogue.individuals, np.bincount(catalogue.labels, minlength=n), added, exponent)
