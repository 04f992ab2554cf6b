"""Evidence from the sources' neighbours: their photos in one list, each with its similarity in every source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cv.errors import FinblendError
from postproc.compiled import as_read
from postproc.evidence.channels import channel_table
from postproc.evidence.evidence import Evidence, FusedSearch
from postproc.evidence.evidence_kernels import copy_near, copy_sorted
from postproc.evidence.gallery import Gallery
from postproc.evidence.pairs import PairTable
from postproc.neighbours.search import NOBODY, Neighbours, Space, pair_similarities

# photos that a pair source brings in: those it says most of
NEAREST_OF_PAIRS = 32


def build_evidence(
    spaces: Mapping[str, Space],
    views: Mapping[str, Sequence[str]],
    nearest: Mapping[str, Sequence[Neighbours]],
    gallery: Gallery,
    query_rows: np.ndarray,
    *,
    same_species: Mapping[str, Sequence[Neighbours]] | None = None,
    fused: FusedSearch | None = None,
    known: Evidence | None = None,
    pairs: Sequence[PairTable] = (),
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """Join the sources' neighbours and compute every candidate's similarity in every source.

    Parameters
    ----------
    spaces, views, nearest : mapping of source to its Space, view names, and neighbours per query view
        In the blend's order; neighbours are of `query_rows`.
    gallery : Gallery
        Neighbours are of the photos that it lets each query meet.
    query_rows : (n,) int array
        Rows of the spaces' queries.
    same_species : mapping like `nearest`, optional
        Neighbours within each query's likeliest species: candidates, too.
    fused : FusedSearch, optional
        Neighbours by all sources at once: candidates, too. Only for sources with a single view.
    known : Evidence, optional
        Evidence of the same queries and gallery from some of the same sources with the same views: what it holds is
        copied rather than computed again.
    pairs : sequence of PairTable
        What pair sources say of the same queries; the photos that they say most of are candidates, too.
    progress : callable, optional
        Called with 1 after each column of similarities.

    Returns
    -------
    Evidence
    """
    channels, columns = channel_table(views)
    n = len(query_rows)
    n_met = gallery.n_met(query_rows)
    if not n_met.any():
        raise FinblendError("the gallery is empty: there is no photo to compare with")
    searches = [nearest] if same_species is None else [nearest, same_species]
    lists = [near for search in searches for each in search.values() for near in each]
    if fused is not None:
        lists += [fused.nearest, fused.same_species]
    query, photo = _union([near.index for near in lists] + [table.top(NEAREST_OF_PAIRS) for table in pairs], n)
    query, photo, place = by_individual(query, photo, gallery.labels)
    query_start = np.searchsorted(query, np.arange(n + 1))
    similarity = np.full((len(query), len(columns)), np.nan, dtype=np.float32)
    if known is not None:
        _copy_known(known, views, columns, place, query_start, place[photo], similarity)
    if fused is not None:
        _copy_fused(fused, place, query_start, place[photo], similarity)
    upper_bounds = [np.empty((n, len(columns)), dtype=np.float32) for _ in searches]
    for c, (source, view) in enumerate(columns):
        source_views = range(spaces[source].n_views) if view is None else [view]
        for search in searches:
            if view is not None:
                near = search[source][view]
                copy_near(
                    as_read(near.index), as_read(near.similarity), place, query_start, place[photo], similarity[:, c]
                )
        left = np.flatnonzero(np.isnan(similarity[:, c]))
        values = [pair_similarities(spaces[source], v, query_rows, query[left], photo[left]) for v in source_views]
        similarity[left, c] = np.mean(values, axis=0) if view is None else values[0]
        upper_bounds[0][:, c] = np.mean([_upper_bound(nearest[source][v], n_met) for v in source_views], axis=0)
        if same_species is not None:
            upper_bounds[1][:, c] = np.mean([same_species[source][v].similarity[:, -1] for v in source_views], axis=0)
        if progress is not None:
            progress(1)
    evidence = group_candidates(
        tuple(spaces),
        channels,
        query,
        photo,
        gallery,
        query_rows,
        similarity,
        *upper_bounds,
    )
    if pairs:
        evidence = replace(evidence, pairs=np.concatenate([table.at(evidence) for table in pairs], axis=1))
    if fused is None:
        return evidence
    last = np.stack([near.similarity[:, -1] for near in (fused.nearest, fused.same_species)], axis=1)
    # a list that is not full holds all photos there are
    for upper_bound, column in zip(upper_bounds, (0, 1), strict=False):
        upper_bound[np.isneginf(last[:, column])] = -np.inf
    return replace(evidence, fused_weights=np.asarray(fused.weights, dtype=np.float64), fused_upper_bound=last)


def by_individual(
    query: np.ndarray, photo: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort (query, photo) pairs by query, then individual, then photo; also the place of each photo in that order."""
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    key = np.sort(query.astype(np.int64) * len(order) + place[photo])
    return (key // len(order)).astype(np.int32), order[key % len(order)].astype(np.int32), place


def group_candidates(
    sources: tuple[str, ...],
    channels: np.ndarray,
    query: np.ndarray,
    photo: np.ndarray,
    gallery: Gallery,
    query_rows: np.ndarray,
    similarity: np.ndarray,
    unseen_upper_bound: np.ndarray,
    species_upper_bound: np.ndarray | None = None,
) -> Evidence:
    """Evidence of pairs sorted by individual; `query` counts in `query_rows`."""
    label = gallery.labels[photo]
    first = np.ones(len(query), dtype=bool)
    first[1:] = (query[1:] != query[:-1]) | (label[1:] != label[:-1])
    starts = np.flatnonzero(first)
    individual = label[starts].astype(np.int32)
    return Evidence(
        sources=sources,
        channels=channels,
        group_start=np.searchsorted(query[starts], np.arange(len(unseen_upper_bound) + 1)).astype(np.int64),
        individual=individual,
        gallery_photos=gallery.photos_met(np.asarray(query_rows)[query[starts]], individual).astype(np.int32),
        photo_start=np.append(starts, len(query)).astype(np.int64),
        photo=photo,
        similarity=similarity,
        unseen_upper_bound=unseen_upper_bound,
        species_upper_bound=species_upper_bound,
        people=gallery.people_met(query_rows),
    )


def _copy_fused(
    fused: FusedSearch, place: np.ndarray, query_start: np.ndarray, pair_place: np.ndarray, similarity: np.ndarray
) -> None:
    """Copy what the search by all sources has computed of each: with a single view, columns are sources."""
    for near, by_source in ((fused.nearest, fused.by_source), (fused.same_species, fused.same_species_by_source)):
        for c, of_source in enumerate([] if by_source is None else by_source):
            copy_near(as_read(near.index), as_read(of_source), place, query_start, pair_place, similarity[:, c])


def _copy_known(
    known: Evidence,
    views: Mapping[str, Sequence[str]],
    columns: Sequence[tuple[str, int | None]],
    place: np.ndarray,
    query_start: np.ndarray,
    pair_place: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Copy the columns that older evidence of the same queries holds."""
    _, older = channel_table({name: views[name] for name in known.sources})
    photo_start = known.photo_start[known.group_start]
    known_place = place[known.photo]
    for c, column in enumerate(columns):
        if column in older:
            values = known.similarity[:, older.index(column)]
            copy_sorted(photo_start, known_place, values, query_start, pair_place, similarity[:, c])


def _upper_bound(near: Neighbours, n_met: np.ndarray) -> np.ndarray:
    last = near.similarity[:, -1].copy()
    last[near.similarity.shape[1] >= n_met] = -np.inf
    return last


def _union(indices: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (query, photo) that stands in any list, once, sorted."""
    merged = np.concatenate(indices, axis=1)
    merged.sort(axis=1)
    keep = merged != NOBODY
    keep[:, 1:] &= merged[:, 1:] != merged[:, :-1]
    return np.repeat(np.arange(n), keep.sum(axis=1)).astype(np.int32), merged[keep]
