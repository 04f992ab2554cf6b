"""What pair sources say, drawn: sparse tables, and evidence with their columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from postproc import Evidence
from postproc.evidence.pairs import PairTable

# (query, gallery) to (score, second)
Told = dict[tuple[int, int], tuple[float, float]]


def told_of(table: PairTable) -> Told:
    """Every pair of a table."""
    rows = zip(table.query, table.gallery, table.score, table.second, strict=True)
    return {(int(q), int(g)): (float(a), float(b)) for q, g, a, b in rows}


def table_of(n: int, told: Told, order: np.ndarray | None = None) -> PairTable:
    """A table of some pairs, which are given in any order."""
    keys = list(told)
    keys = keys if order is None else [keys[k] for k in order]
    query, gallery = (np.array([key[side] for key in keys], dtype=np.int64) for side in (0, 1))
    numbers = np.array([told[key] for key in keys], dtype=np.float32).reshape(-1, 2)
    return PairTable.of(n, query, gallery, numbers[:, 0], numbers[:, 1])


def with_random_pairs(rng: np.random.Generator, evidence: Evidence, sources: int, compared: float = 0.6) -> Evidence:
    """The same evidence with what pair sources say: scores in quarters, ties and 0 among them, and second numbers."""
    shape = (len(evidence.photo), 2 * sources)
    pairs = (rng.integers(-1, 13, shape) / 4).astype(np.float32)
    unknown = rng.random((shape[0], sources)) > compared
    pairs[np.repeat(unknown, 2, axis=1)] = np.nan
    pairs[:, 1::2][rng.random((shape[0], sources)) < 0.3] = np.nan
    return replace(evidence, pairs=pairs)
