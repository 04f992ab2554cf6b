"""Evidence in which a source's similarities are mixed with k-reciprocal ones.

A source's new similarity is lambda times the cosine, plus (1 - lambda) times 1 less the Jaccard distance where the
photo is among the query's nearest that were compared (those of `ReciprocalSimilarity`), plus nothing elsewhere. So a
photo outside the candidates has at most lambda times the K-th cosine, and everything that is certain about a ranking
stays certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.evidence.channels import channel_table
from postproc.evidence.evidence import Evidence

# the fused upper bound is divided by a sum: float32 may round it down
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ReciprocalSimilarity:
    """k-reciprocal similarities of one source in one query view.

    Attributes
    ----------
    rows : (n,) int array, ascending
        Rows of the space's queries.
    index : (n, k) int32 array
        Their nearest gallery photos; -1 for nobody.
    value : (n, k) float32 array
        1 less the Jaccard distance.
    weight : float
        Lambda, in (0, 1].
    """

    rows: np.ndarray
    index: np.ndarray
    value: np.ndarray
    weight: float

    def of_pairs(self, query_rows: np.ndarray, start: np.ndarray, photo: np.ndarray) -> np.ndarray:
        """(p,) float64 values of pairs; query i's photos are `photo[start[i] : start[i + 1]]`."""
        out = np.zeros(len(photo))
        at = np.searchsorted(self.rows, query_rows)
        _find(self.index, self.value, at, np.asarray(start, dtype=np.int64), photo, out)
        return out

    def mix_table(self, table: np.ndarray, query_rows: np.ndarray, place: np.ndarray) -> None:
        """Mix into an (n, m) table of cosines, in place; gallery photo g stands in column `place[g]`."""
        table *= np.float32(self.weight)
        at = np.searchsorted(self.rows, query_rows)
        index = self.index[at]
        query, k = np.nonzero(index >= 0)
        table[query, place[index[query, k]]] += np.float32(1.0 - self.weight) * self.value[at][query, k]


def mixed_similarities(
    similarity: np.ndarray,
    by_view: Sequence[ReciprocalSimilarity],
    query_rows: np.ndarray,
    start: np.ndarray,
    photo: np.ndarray,
) -> np.ndarray:
    """(p,) float32: cosines of pairs, mixed with the mean of the k-reciprocal values over query views."""
    value = np.mean([reciprocal.of_pairs(query_rows, start, photo) for reciprocal in by_view], axis=0)
    weight = by_view[0].weight
    return np.asarray(weight * similarity.astype(np.float64) + (1.0 - weight) * value, dtype=np.float32)


def mix_reciprocal(
    evidence: Evidence,
    views: Mapping[str, Sequence[str]],
    reciprocal: Mapping[str, Sequence[ReciprocalSimilarity]],
    query_rows: np.ndarray,
) -> Evidence:
    """Mix the similarities of some sources.

    Parameters
    ----------
    evidence : Evidence
        Not pruned.
    views : mapping of source to its view names
    reciprocal : mapping of source to one `ReciprocalSimilarity` a query view
        Their photos are the source's nearest, which are among the candidates.
    query_rows : (n,) int array
        Of the evidence's queries.
    """
    if not reciprocal:
        return evidence
    _, columns = channel_table(views)
    start = evidence.photo_start[evidence.group_start]
    similarity = np.array(evidence.similarity)
    upper_bound = np.array(evidence.unseen_upper_bound)
    of_species = None if evidence.species_upper_bound is None else np.array(evidence.species_upper_bound)
    for c, (source, view) in enumerate(columns):
        if source in reciprocal:
            by_view = reciprocal[source] if view is None else [reciprocal[source][view]]
            similarity[:, c] = mixed_similarities(similarity[:, c], by_view, query_rows, start, evidence.photo)
            for bound in (upper_bound, of_species):
                if bound is not None:
                    bound[:, c] = by_view[0].weight * bound[:, c].astype(np.float64)
    mixed_evidence = replace(
        evidence, similarity=similarity, unseen_upper_bound=upper_bound, species_upper_bound=of_species
    )
    if evidence.fused_weights is None or evidence.fused_upper_bound is None:
        return mixed_evidence
    # outside the candidates a source has lambda times its cosine: the same mean of cosines, in other weights
    factors = np.array([reciprocal[name][0].weight if name in reciprocal else 1.0 for name in evidence.sources])
    weights = evidence.fused_weights / factors
    fused = evidence.fused_upper_bound.astype(np.float64) / weights.sum() + _ROUNDING
    return replace(mixed_evidence, fused_weights=weights / weights.sum(), fused_upper_bound=fused.astype(np.float32))


@kernel(parallel=True)
def _find(
    index: np.ndarray, value: np.ndarray, at: np.ndarray, start: np.ndarray, photo: np.ndarray, out: np.ndarray
) -> None:
    for q in numba.prange(len(at)):
        for k in range(index.shape[1]):
            for p in range(start[q], start[q + 1]):
                if photo[p] == index[at[q], k]:
                    out[p] = value[at[q], k]
                    break
