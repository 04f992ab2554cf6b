"""All that a mean of an individual's best photos needs, candidates or not.

With one photo per individual an unseen photo is bounded by what the candidates' lists ended with, and that is far below
the best. With the mean of two or three it is not enough: the second photo of an individual with one candidate can be
anywhere below that bound. So the photos of the candidates' individuals are compared, too, and those that fewer than
`MAX_TOP_PHOTOS` of the individual's others exceed in every column are kept beside the candidates, as `further` photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from postproc.evidence.channels import channel_table
from postproc.evidence.completion_kernels import is_exceeded, list_unseen, mark_open
from postproc.evidence.evidence import CLEAR, MAX_TOP_PHOTOS, Evidence
from postproc.evidence.evidence_kernels import ranges
from postproc.evidence.gallery import Gallery
from postproc.neighbours.search import Space, pair_similarities

# pairs that are compared at a time: some 300 MB with five columns
_AT_ONCE = 4_000_000


def complete(
    evidence: Evidence,
    spaces: Mapping[str, Space],
    views: Mapping[str, Sequence[str]],
    gallery: Gallery,
    query_rows: np.ndarray,
    *,
    at_once: int = _AT_ONCE,
) -> Evidence:
    """Evidence with every photo that a mean of a candidate individual's best `MAX_TOP_PHOTOS` can need.

    Parameters
    ----------
    evidence : Evidence
        Pruned or not.
    spaces, views, gallery, query_rows
        What it was built from, as of `build_evidence`.
    at_once : int
        Pairs that are compared at a time.

    Returns
    -------
    Evidence
        The same candidates and bounds, with `further` photos.
    """
    labels = gallery.labels
    rows = np.argsort(labels, kind="stable").astype(np.int32)
    start_of = np.searchsorted(labels[rows], np.arange(int(labels.max(initial=0)) + 2))
    query_of = np.repeat(np.arange(evidence.n_queries, dtype=np.int32), np.diff(evidence.group_start))
    is_open = np.zeros(len(evidence.individual), dtype=np.bool_)
    mark_open(
        query_of,
        evidence.gallery_photos,
        evidence.photo_start,
        evidence.similarity,
        evidence.unseen_upper_bound,
        MAX_TOP_PHOTOS,
        CLEAR,
        is_open,
    )
    groups = np.flatnonzero(is_open)
    # no fewer pairs than these: a group's candidates and those that the query does not meet are among them
    pairs = np.cumsum(np.diff(start_of)[evidence.individual[groups]])
    cuts = np.unique(np.searchsorted(pairs, np.arange(0, int(pairs[-1]) if len(pairs) else 0, at_once)[1:]))
    found = [
        _compare(evidence, spaces, views, query_rows, block, query_of, rows, start_of, gallery)
        for block in np.split(groups, cuts)
    ]
    count = np.zeros(len(evidence.individual), dtype=np.int64)
    for group, _, _ in found:
        count += np.bincount(group, minlength=len(count))
    return replace(
        evidence,
        further_start=np.append(0, np.cumsum(count)),
        further_photo=np.concatenate([photo for _, photo, _ in found]),
        further_similarity=np.concatenate([similarity for *_, similarity in found]),
    )


def _compare(
    evidence: Evidence,
    spaces: Mapping[str, Space],
    views: Mapping[str, Sequence[str]],
    query_rows: np.ndarray,
    groups: np.ndarray,
    query_of: np.ndarray,
    rows: np.ndarray,
    start_of: np.ndarray,
    gallery: Gallery,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group, photo and (pairs, columns) similarity of what some groups' means can need beside their candidates."""
    n_photos = np.diff(start_of)[evidence.individual[groups]]
    photo = rows[ranges(start_of[evidence.individual[groups]], n_photos)]
    group = np.repeat(groups, n_photos)
    unseen = list_unseen(
        group,
        photo,
        query_of,
        evidence.photo_start,
        evidence.photo,
        gallery.own(query_rows),
        gallery.group_of(query_rows),
        gallery.photo_groups,
    )
    group, photo = group[unseen], photo[unseen]
    _, columns = channel_table(views)
    similarity = np.empty((len(group), len(columns)), dtype=np.float32)
    for c, (source, view) in enumerate(columns):
        source_views = range(spaces[source].n_views) if view is None else [view]
        values = [pair_similarities(spaces[source], v, query_rows, query_of[group], photo) for v in source_views]
        similarity[:, c] = np.mean(values, axis=0) if view is None else values[0]
    start = np.searchsorted(group, np.append(groups, len(query_of)))
    kept = ~is_exceeded(
        groups,
        start,
        photo,
        similarity,
        evidence.photo_start,
        evidence.photo,
        evidence.similarity,
        MAX_TOP_PHOTOS,
        CLEAR,
    )
    return group[kept], photo[kept], similarity[kept]
