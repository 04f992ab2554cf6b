"""What a trained head says of candidates: `pred_idx` and `pred_logit` beside a store's embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from backbones.store import Store
from cv.catalogue import Catalogue

INDEX, LOGIT = "pred_idx", "pred_logit"
_COLUMN = "individual_id"
# photos whose logits are laid out over all individuals at once: 512 of 15,587 are 32 MB
_BLOCK = 512


def classes_of(store: Store, catalogue: Catalogue) -> np.ndarray | None:
    """Which individual each of the head's classes is.

    Parameters
    ----------
    store : Store
        With its class order beside it: `classes.json` (a list of names), `.csv` (a column `individual_id`) or `.txt`
        (a name a line), as `train` writes and `register --labels` keeps it.
    catalogue : Catalogue

    Returns
    -------
    (classes,) int64 array or None
        -1 for individuals that the catalogue lacks; None where the store has no logits or no class order to read.
    """
    if not {INDEX, LOGIT} <= set(store.manifest.predictions):
        return None
    index = {name: n for n, name in enumerate(catalogue.individuals)}
    for path in sorted(store.folder.glob("classes.*")):
        names = _names(path)
        if names:
            return np.array([index.get(name, -1) for name in names], dtype=np.int64)
    return None


def _names(path: Path) -> list[str]:
    """Names of a class order; none where the file is not one of the three forms."""
    try:
        if path.suffix == ".json":
            value = json.loads(path.read_text(encoding="utf-8"))
            return [str(name) for name in value] if isinstance(value, list) else []
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)[_COLUMN].to_list()
        return path.read_text(encoding="utf-8").split() if path.suffix == ".txt" else []
    except (ValueError, pl.exceptions.PolarsError):
        return []


def why_logits_unusable(store: Store, catalogue: Catalogue) -> str | None:
    """Say why a store's logits cannot be used, or None."""
    classes = classes_of(store, catalogue)
    if classes is None:
        return "have no class order beside them (register --labels FILE: .json, .csv or .txt)"
    for split in ("train", "test"):
        listed = store.prediction(split, INDEX)
        if listed.ndim != 2 or listed.shape != store.prediction(split, LOGIT).shape:
            return f"have other shapes for {INDEX} than for {LOGIT}"
        if listed.size and not (listed.min() >= 0 and listed.max() < len(classes)):
            return f"count in {INDEX} up to {listed.max()}, but the class order has {len(classes)} names"
    return None


def logits_of(
    stores: Sequence[Store], split: str, rows: np.ndarray, individual: np.ndarray, catalogue: Catalogue
) -> np.ndarray | None:
    """Logits of candidates, the mean over stores.

    Parameters
    ----------
    stores : sequence of Store
        Out-of-fold the one whose network never saw the photos' labels, in test all that are used.
    split : {"train", "test"}
    rows : (n,) int array
        Rows of the split.
    individual : (n, places) int array
        Candidates; -1 where there is nobody.
    catalogue : Catalogue

    Returns
    -------
    (n, places) float32 array or None
        The least listed logit for individuals below the list; NaN for those that are no class of any network. None
        where no store has logits and their class order. What `why_logits_unusable` refuses must not be asked for.
    """
    of_stores = []
    for store in stores:
        classes = classes_of(store, catalogue)
        if classes is None:
            continue
        index, logit = store.prediction(split, INDEX), store.prediction(split, LOGIT)
        of_candidates = np.full(individual.shape, np.nan, dtype=np.float32)
        # 0 for the individuals that are classes; the last column is for candidates that are nobody
        is_class = np.full(len(catalogue.individuals) + 1, np.nan, dtype=np.float32)
        is_class[classes] = 0.0
        is_class[-1] = np.nan
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            of_individuals = is_class + logit[block].min(axis=1, keepdims=True).astype(np.float32)
            np.put_along_axis(of_individuals, classes[index[block]], logit[block].astype(np.float32), axis=1)
            of_individuals[:, -1] = np.nan
            asked = individual[start : start + _BLOCK]
            of_candidates[start : start + _BLOCK] = np.take_along_axis(of_individuals, asked, axis=1)
        of_stores.append(of_candidates)
    if not of_stores:
        return None
    known = ~np.isnan(np.stack(of_stores))
    total = np.where(known, np.stack(of_stores), 0.0).sum(axis=0)
    count = known.sum(axis=0)
    out = np.full(total.shape, np.nan, dtype=np.float32)
    return np.asarray(np.divide(total, count, out=out, where=count > 0))
