"""Evidence of several sets of queries put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    back, n_groups, groups = _order(parts, rows)
    photo_start = _concat_starts([p.photo_start for p in parts])
    n_photos = np.diff(photo_start)
    photos = ranges(photo_start[:-1][groups], n_photos[groups])
    joined = Evidence(
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
    )
    return with_further(joined, parts, rows) if all(p.further_start is not None for p in parts) else joined


def with_further(joined: Evidence, parts: Sequence[Evidence], rows: Sequence[np.ndarray]) -> Evidence:
    """Evidence that was put together of parts, with the further photos that these have got since."""
    starts = _concat_starts([p.further_start for p in parts if p.further_start is not None])
    groups = _order(parts, rows)[2]
    n_further = np.diff(starts)[groups]
    further = ranges(starts[:-1][groups], n_further)
    complete = replace(
        joined,
        further_start=np.append(0, np.cumsum(n_further)),
        further_photo=_joined([p.further_photo for p in parts], further),
        further_similarity=_joined([p.further_similarity for p in parts], further),
    )
    # the candidates are the same: one copy of their columns is enough
    vars(complete)["by_column"] = joined.by_column
    return complete


def _order(parts: Sequence[Evidence], rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each query of the result stands among the parts', how many groups these have, and which come in turn."""
    n_groups = np.concatenate([np.diff(p.group_start) for p in parts])
    back = np.empty(sum(len(r) for r in rows), dtype=np.int64)
    back[np.concatenate(rows)] = np.arange(len(back))
    group_start = _concat_starts([p.group_start for p in parts])
    return back, n_groups, ranges(group_start[:-1][back], n_groups[back])


def _joined(parts: Sequence[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present)[order] if len(present) == len(parts) else None


def _concat_starts(starts: Sequence[np.ndarray]) -> np.ndarray:
    return np.append(0, np.cumsum(np.concatenate([np.diff(s) for s in starts])))
