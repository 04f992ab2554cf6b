"""Rank single queries over the whole gallery: what the evidence leaves open is rescored here.

All similarities of a query are screened in float32; whoever may be among the first seven within the rounding error is
then scored from exact similarities, so nothing about the answer is open any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.evidence.build import by_individual, group_candidates
from postproc.evidence.channels import channel_table
from postproc.evidence.gallery import Gallery
from postproc.neighbours.search import MEMORY_MB, Space, pair_similarities, similarities
from postproc.ranking.rank import Species, rank
from postproc.ranking.rank_kernels import insert
from postproc.ranking.ranking import DEPTH, Ranking

# float32 sums of a few weighted similarities, and their mean over photos and views
_ROUNDING = 2e-6


@dataclass(frozen=True)
class ExhaustiveSearch:
    """Spaces in which queries can be ranked against every photo they may meet.

    Attributes
    ----------
    spaces, views : mapping of source to its Space and view names
        In the blend's order.
    gallery : Gallery
    """

    spaces: Mapping[str, Space]
    views: Mapping[str, Sequence[str]]
    gallery: Gallery

    def rank(
        self,
        query_rows: np.ndarray,
        weights: np.ndarray,
        *,
        top_photos: int,
        species_penalty: float,
        species: Species,
        memory_mb: int = MEMORY_MB,
        progress: Callable[[int], None] | None = None,
    ) -> Ranking:
        """Rank every individual of the gallery.

        Parameters
        ----------
        query_rows : (n,) int array
            Rows of the spaces' queries.
        weights : (n, sources) float array
            Each query's own.
        top_photos, species_penalty
            As of `postproc.rank`.
        species : Species
            Of these queries.
        memory_mb : int
            Bound on the similarities held at once, in MiB.
        progress : callable, optional
            Called with the number of queries done.
        """
        labels, query_group = self.gallery.labels, self.gallery.group_of(query_rows)
        rows = np.arange(len(labels))
        if len(query_group) and (query_group == query_group[0]).all():
            # what no query meets is not multiplied
            rows = np.flatnonzero(self.gallery.photo_groups != query_group[0])
        rows = rows[np.argsort(labels[rows], kind="stable")].astype(np.int32)
        starts = np.flatnonzero(np.append(True, np.diff(labels[rows]) != 0))
        n_views = channel_table(self.views)[0].shape[1]
        step = max(1, int(memory_mb * 2**20 / (len(rows) * 4 * (n_views + 3))))
        parts = []
        for start in range(0, len(query_rows), step):
            block = slice(start, start + step)
            kinds = Species(species.mismatch[block], species.of_individual, species.likely[block])
            queries = query_rows[block], weights[block]
            parts.append(self._rank_block(*queries, rows, starts, top_photos, species_penalty, kinds))
            if progress is not None:
                progress(len(parts[-1].score))
        if not parts:
            empty = np.empty((0, DEPTH))
            return Ranking(empty.astype(np.int32), empty.astype(np.float32), empty.astype(np.int32), np.empty(0))
        return Ranking(*(np.concatenate([getattr(p, a) for p in parts]) for a in Ranking.__dataclass_fields__))

    def _rank_block(
        self,
        query_rows: np.ndarray,
        weights: np.ndarray,
        rows: np.ndarray,
        starts: np.ndarray,
        top_photos: int,
        penalty: float,
        species: Species,
    ) -> Ranking:
        labels = self.gallery.labels
        channels, columns = channel_table(self.views)
        blended = np.zeros((channels.shape[1], len(query_rows), len(rows)), dtype=np.float32)
        # scores less a large penalty are rounded so coarsely to float32 that somebody a little behind may be level
        rounding = _ROUNDING + penalty * 2.0**-24
        slack = rounding
        sources = list(self.spaces)
        place = np.full(len(labels) + 1, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        for c, (source, view) in enumerate(columns):
            s = sources.index(source)
            factor = weights[:, s, None].astype(np.float32)
            if not factor.any():
                continue
            source_views = range(self.spaces[source].n_views) if view is None else [view]
            for v in source_views:
                screened, error = similarities(self.spaces[source], v, query_rows, rows)
                slack = max(slack, error + rounding)
                screened *= factor / len(source_views)
                for channel in np.flatnonzero(channels[s] == c):
                    blended[channel] += screened
        chosen = np.zeros((len(query_rows), len(rows)), dtype=bool)
        choose_contenders(
            blended,
            place[self.gallery.own(query_rows)],
            self.gallery.group_of(query_rows),
            self.gallery.photo_groups[rows],
            starts,
            labels[rows[starts]],
            top_photos,
            np.float64(penalty),
            species.mismatch,
            species.of_individual,
            np.float64(slack),
            chosen,
        )
        query, at = np.nonzero(chosen)
        del blended
        query, photo, _ = by_individual(query.astype(np.int32), rows[at], labels)
        similarity = np.empty((len(query), len(columns)), dtype=np.float32)
        for c, (source, view) in enumerate(columns):
            source_views = range(self.spaces[source].n_views) if view is None else [view]
            values = [pair_similarities(self.spaces[source], v, query_rows, query, photo) for v in source_views]
            similarity[:, c] = np.mean(values, axis=0) if view is None else values[0]
        nothing_beyond = np.full((len(query_rows), len(columns)), -np.inf, dtype=np.float32)
        evidence = group_candidates(
            tuple(sources), channels, query, photo, self.gallery, query_rows, similarity, nothing_beyond
        )
        return rank(
            evidence,
            weights,
            top_photos=top_photos,
            species_penalty=penalty,
            species=species,
            recipe=np.arange(len(query_rows)),
        )


@kernel(parallel=True)
def choose_contenders(
    blended: np.ndarray,
    own_photo: np.ndarray,
    query_group: np.ndarray,
    photo_group: np.ndarray,
    starts: np.ndarray,
    individual: np.ndarray,
    top_photos: int,
    penalty: float,
    species_mismatch: np.ndarray,
    species_of_individual: np.ndarray,
    slack: float,
    chosen: np.ndarray,
) -> None:
    """Choose the photos that decide who the first seven are: all that can be in the mean of an individual in question.

    `blended` is (views, queries, photos), photos sorted by individual, right to within `slack`. The query itself,
    `own_photo` (-1 for none), and photos of its group have no say.
    """
    n_views, n, m = blended.shape
    for q in numba.prange(n):
        best = np.empty(top_photos)
        score = np.empty(len(starts))
        for g in range(len(starts)):
            stop = starts[g + 1] if g + 1 < len(starts) else m
            total = 0.0
            for v in range(n_views):
                kept = _best(blended[v, q], starts[g], stop, own_photo[q], query_group[q], photo_group, best)
                total += best[:kept].mean() if kept else -np.inf
            score[g] = total / n_views - penalty * species_mismatch[q, species_of_individual[individual[g]]]
        cut = -np.inf
        if len(starts) > DEPTH:
            cut = np.partition(score, len(starts) - DEPTH)[len(starts) - DEPTH] - 2.0 * slack
        for g in range(len(starts)):
            if score[g] >= cut:
                stop = starts[g + 1] if g + 1 < len(starts) else m
                for v in range(n_views):
                    kept = _best(blended[v, q], starts[g], stop, own_photo[q], query_group[q], photo_group, best)
                    if kept == 0:
                        continue
                    least = best[kept - 1] - 2.0 * slack
                    for p in range(starts[g], stop):
                        is_met = p != own_photo[q] and photo_group[p] != query_group[q]
                        if is_met and blended[v, q, p] >= least:
                            chosen[q, p] = True


@kernel(inline="always")
def _best(
    values: np.ndarray,
    start: int,
    stop: int,
    own_photo: int,
    query_group: int,
    photo_group: np.ndarray,
    best: np.ndarray,
) -> int:
    """Keep the highest values of a range, of photos that the query meets, in descending order; return how many."""
    kept = 0
    for p in range(start, stop):
        if p != own_photo and photo_group[p] != query_group:
            kept = insert(best, kept, len(best), np.float64(values[p]))
    return kept
