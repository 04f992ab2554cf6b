"""Evidence of several sets of queries put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from postproc.evidence.evidence import Evidence
from postproc.evidence.evidence_kernels import ranges


def join_evidence(parts: Sequence[Evidence], rows: Sequence[np.ndarray]) -> Evidence:
    """Put several sets of queries together (the folds of one catalogue), in the order of their rows.

    Parameters
    ----------
    parts : sequence of Evidence
        Of the same sources.
    rows : sequence of (n_i,) int arrays
        The place of each query in the result; together 0 .. n - 1.
    """
    n = sum(len(r) for r in rows)
    n_groups = np.concatenate([np.diff(p.group_start) for p in parts])
    at = np.concatenate(rows)
    back = np.empty(n, dtype=np.int64)
    back[at] = np.arange(n)
    group_start = _concat_starts([p.group_start for p in parts])
    photo_start = _concat_starts([p.photo_start for p in parts])
    groups = ranges(group_start[:-1][back], n_groups[back])
    n_photos = np.diff(photo_start)
    photos = ranges(photo_start[:-1][groups], n_photos[groups])
    further_starts = [p.further_start for p in parts if p.further_start is not None]
    further, further_start = None, None
    if len(further_starts) == len(parts):
        starts = _concat_starts(further_starts)
        n_further = np.diff(starts)[groups]
        further, further_start = ranges(starts[:-1][groups], n_further), np.append(0, np.cumsum(n_further))
    return Evidence(
        sources=parts[0].sources,
        channels=parts[0].channels,
        group_start=np.append(0, np.cumsum(n_groups[back])),
        individual=np.concatenate([p.individual for p in parts])[groups],
        gallery_photos=np.concatenate([p.gallery_photos for p in parts])[groups],
        photo_start=np.append(0, np.cumsum(n_photos[groups])),
        photo=np.concatenate([p.photo for p in parts])[photos],
        similarity=np.concatenate([p.similarity for p in parts])[photos],
        unseen_upper_bound=np.concatenate([p.unseen_upper_bound for p in parts])[back],
        species_upper_bound=_joined([p.species_upper_bound for p in parts], back),
        people=_joined([p.people for p in parts], back),
        fused_weights=parts[0].fused_weights,
        fused_upper_bound=_joined([p.fused_upper_bound for p in parts], back),
        pairs=_joined([p.pairs for p in parts], photos),
        further_start=further_start,
        further_photo=None if further is None else _joined([p.further_photo for p in parts], further),
        further_similarity=None if further is None else _joined([p.further_similarity for p in parts], further),
    )


def _joined(parts: Sequence[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present)[order] if len(present) == len(parts) else None


def _concat_starts(starts: Sequence[np.ndarray]) -> np.ndarray:
    return np.append(0, np.cumsum(np.concatenate([np.diff(s) for s in starts])))
