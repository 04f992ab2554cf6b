"""Evidence: for each query, its candidate gallery photos and their similarity in every source.

Similarities are computed once; after that a blend is a weighted sum over them, because the cosine of weighted
concatenations of unit vectors is the weighted mean of the cosines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numba
import numpy as np

from cv.errors import FinblendError
from postproc.knn import NOBODY, Neighbours, Space, pair_similarities


@dataclass(frozen=True)
class Gallery:
    """Who is on the gallery photos.

    Attributes
    ----------
    labels : (n,) int32 array
        Individual of each photo.
    groups : (n,) int32 array or None
        Photos of the query's own group (its fold) are not in its gallery.
    """

    labels: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Evidence:
    """Candidates of many queries, grouped by individual.

    Query i owns the groups `group_start[i] : group_start[i + 1]`; group g, one individual, owns the candidate photos
    `photo_start[g] : photo_start[g + 1]`.

    Attributes
    ----------
    sources : tuple of str
    channels : (sources, views) int32 array
        Which column of `similarity` speaks for a source in a query view.
    group_start : (n + 1,) int64 array
    individual : (groups,) int32 array
    gallery_photos : (groups,) int32 array
        Photos of that individual in the query's gallery, among the candidates or not.
    photo_start : (groups + 1,) int64 array
    photo : (photos,) int32 array
        Gallery row.
    similarity : (photos, columns) float32 array
    horizon : (n, columns) float32 array
        The K-th similarity: no photo outside the candidates exceeds it. -inf where all photos are candidates.
    """

    sources: tuple[str, ...]
    channels: np.ndarray
    group_start: np.ndarray
    individual: np.ndarray
    gallery_photos: np.ndarray
    photo_start: np.ndarray
    photo: np.ndarray
    similarity: np.ndarray
    horizon: np.ndarray

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.group_start) - 1

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by name, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sources"}


def channel_table(views: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, list[tuple[str, int | None]]]:
    """Lay out the columns of evidence.

    Sources with several views are compared view by view; a source that lacks a view (or has a single one) stands in
    with the mean over its own views.

    Parameters
    ----------
    views : mapping of source to its view names

    Returns
    -------
    channels : (sources, views) int32 array
    columns : list of (source, view position or None)
        None is the mean over the source's views.

    Examples
    --------
    >>> table, columns = channel_table({"a": ["orig", "hflip"], "b": ["orig"]})
    >>> table.tolist(), columns
    ([[0, 1], [2, 2]], [('a', 0), ('a', 1), ('b', 0)])
    """
    wanted = list(dict.fromkeys(view for names in views.values() if len(names) > 1 for view in names)) or ["any"]
    columns: list[tuple[str, int | None]] = []
    table = np.empty((len(views), len(wanted)), dtype=np.int32)
    for s, (source, names) in enumerate(views.items()):
        for v, view in enumerate(wanted):
            if len(names) == 1:
                column: tuple[str, int | None] = (source, 0)
            else:
                column = (source, list(names).index(view) if view in names else None)
            if column not in columns:
                columns.append(column)
            table[s, v] = columns.index(column)
    return table, columns


def build_evidence(
    spaces: Mapping[str, Space],
    views: Mapping[str, Sequence[str]],
    nearest: Mapping[str, Sequence[Neighbours]],
    gallery: Gallery,
    query_rows: np.ndarray,
    query_group: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """Join the sources' neighbours and compute every candidate's similarity in every source.

    Parameters
    ----------
    spaces, views, nearest : mapping of source to its Space, view names, and neighbours per query view
        In the blend's order; neighbours are of `query_rows`.
    gallery : Gallery
    query_rows : (n,) int array
        Rows of the spaces' queries.
    query_group : int, optional
        The queries' common group, as in `gallery.groups`.
    progress : callable, optional
        Called with 1 after each column of similarities.

    Returns
    -------
    Evidence
    """
    channels, columns = channel_table(views)
    n = len(query_rows)
    allowed = np.ones(len(gallery.labels), dtype=bool)
    if query_group is not None and gallery.groups is not None:
        allowed = gallery.groups != query_group
    if not allowed.any():
        raise FinblendError("the gallery is empty: there is no photo to compare with")
    n_photos = np.bincount(gallery.labels[allowed], minlength=int(gallery.labels.max()) + 1).astype(np.int32)
    query, photo = _union([near.index for each in nearest.values() for near in each], n)
    order = np.lexsort((photo, gallery.labels[photo], query))
    query, photo = query[order], photo[order]
    label = gallery.labels[photo]
    first = np.ones(len(query), dtype=bool)
    first[1:] = (query[1:] != query[:-1]) | (label[1:] != label[:-1])
    starts = np.flatnonzero(first)
    similarity = np.empty((len(query), len(columns)), dtype=np.float32)
    horizon = np.empty((n, len(columns)), dtype=np.float32)
    for c, (source, view) in enumerate(columns):
        own = range(spaces[source].n_views) if view is None else [view]
        values = [pair_similarities(spaces[source], v, query_rows, query, photo) for v in own]
        similarity[:, c] = np.mean(values, axis=0) if view is None else values[0]
        horizon[:, c] = np.mean([_horizon(nearest[source][v], int(allowed.sum())) for v in own], axis=0)
        if progress is not None:
            progress(1)
    return Evidence(
        sources=tuple(spaces),
        channels=channels,
        group_start=np.searchsorted(query[starts], np.arange(n + 1)).astype(np.int64),
        individual=label[starts].astype(np.int32),
        gallery_photos=n_photos[label[starts]],
        photo_start=np.append(starts, len(query)).astype(np.int64),
        photo=photo.astype(np.int32),
        similarity=similarity,
        horizon=horizon,
    )


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
    groups = _ranges(group_start[:-1][back], n_groups[back])
    n_photos = np.diff(photo_start)
    photos = _ranges(photo_start[:-1][groups], n_photos[groups])
    return Evidence(
        sources=parts[0].sources,
        channels=parts[0].channels,
        group_start=np.append(0, np.cumsum(n_groups[back])),
        individual=np.concatenate([p.individual for p in parts])[groups],
        gallery_photos=np.concatenate([p.gallery_photos for p in parts])[groups],
        photo_start=np.append(0, np.cumsum(n_photos[groups])),
        photo=np.concatenate([p.photo for p in parts])[photos],
        similarity=np.concatenate([p.similarity for p in parts])[photos],
        horizon=np.concatenate([p.horizon for p in parts])[back],
    )


def _horizon(near: Neighbours, n_allowed: int) -> np.ndarray:
    last = near.similarity[:, -1].copy()
    if near.similarity.shape[1] >= n_allowed:
        last[:] = -np.inf
    return last


def _union(indices: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (query, photo) that stands in any list, once, sorted."""
    merged = np.sort(np.concatenate(indices, axis=1), axis=1)
    keep = merged != NOBODY
    keep[:, 1:] &= merged[:, 1:] != merged[:, :-1]
    return np.repeat(np.arange(n), keep.sum(axis=1)).astype(np.int32), merged[keep]


def _concat_starts(starts: Sequence[np.ndarray]) -> np.ndarray:
    return np.append(0, np.cumsum(np.concatenate([np.diff(s) for s in starts])))


@numba.njit(cache=True)
def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Concatenate the ranges start[i] : start[i] + length[i]."""
    out = np.empty(length.sum(), dtype=np.int64)
    at = 0
    for i in range(len(start)):
        for j in range(length[i]):
            out[at] = start[i] + j
            at += 1
    return out
