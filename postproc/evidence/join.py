"""Evidence of several sets of queries put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from postproc.evidence.evidence import FURTHER, Evidence
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
    groups, group_start = _places(list(rows), [part.group_start for part in parts])
    photos, photo_start = _places(groups, [part.photo_start for part in parts])
    joined = Evidence(
        sources=parts[0].sources,
        channels=parts[0].channels,
        group_start=group_start,
        individual=_array([part.individual for part in parts], groups),
        gallery_photos=_array([part.gallery_photos for part in parts], groups),
        photo_start=photo_start,
        photo=_array([part.photo for part in parts], photos),
        similarity=_array([part.similarity for part in parts], photos),
        unseen_upper_bound=_array([part.unseen_upper_bound for part in parts], rows),
        species_upper_bound=_joined([part.species_upper_bound for part in parts], rows),
        people=_joined([part.people for part in parts], rows),
        fused_weights=parts[0].fused_weights,
        fused_upper_bound=_joined([part.fused_upper_bound for part in parts], rows),
        pairs=_joined([part.pairs for part in parts], photos),
    )
    if any(part.further_start is None for part in parts):
        return joined
    return with_further(joined, further_of(parts, rows))


def further_of(parts: Sequence[Evidence], rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The further photos of all parts in the order of `join_evidence`, by the names of their fields."""
    groups, _ = _places(list(rows), [part.group_start for part in parts])
    starts = [part.further_start for part in parts if part.further_start is not None]
    places, start = _places(groups, starts)
    photo = [part.further_photo for part in parts if part.further_photo is not None]
    similarity = [part.further_similarity for part in parts if part.further_similarity is not None]
    return dict(zip(FURTHER, (start, _array(photo, places), _array(similarity, places)), strict=True))


def with_further(evidence: Evidence, further: Mapping[str, np.ndarray]) -> Evidence:
    """Evidence that has got the further photos of `further_of` since."""
    start, photo, similarity = (further[name] for name in FURTHER)
    complete = replace(evidence, further_start=start, further_photo=photo, further_similarity=similarity)
    # the candidates are the same: one copy of their columns is enough
    vars(complete)["by_column"] = evidence.by_column
    return complete


def _places(owners: Sequence[np.ndarray], starts: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Where each part's items stand in the result, and where each owner's begin there.

    Parameters
    ----------
    owners : sequence of (n_i,) int arrays
        The place of each owner in the result; together 0 .. n - 1.
    starts : sequence of (n_i + 1,) int arrays
        A part's owner i has the items `starts[i] : starts[i + 1]`.
    """
    length = _array([np.diff(start) for start in starts], owners)
    start = np.append(0, np.cumsum(length))
    return [ranges(start[own], np.diff(of_part)) for own, of_part in zip(owners, starts, strict=True)], start


def _array(parts: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> np.ndarray:
    """Items at their places; each part is read once, and beside the result no copy is made."""
    out = np.empty((sum(map(len, places)), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for part, place in zip(parts, places, strict=True):
        out[place] = part
    return out


def _joined(parts: Sequence[np.ndarray | None], places: Sequence[np.ndarray]) -> np.ndarray | None:
    present = [part for part in parts if part is not None]
    return _array(present, places) if len(present) == len(parts) else None
