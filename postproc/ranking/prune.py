"""Evidence without what no blend can bring into a list: the same rankings from a fraction of the candidates.

With weights >= 0, a photo that is less similar than another one of the same individual in *every* source scores less in
every blend; a mean of the best three needs no photo that three others exceed so. In the same way an individual is out
of the first seven places if seven others hold photos that exceed all of its own in every source, and are no less likely
by species. (The skyband of Papadias et al. 2005, "Progressive skyline computation in database systems".)
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np

from postproc.compiled import kernel
from postproc.evidence.completion_kernels import exceeds
from postproc.evidence.evidence import CLEAR, MAX_TOP_PHOTOS, Evidence
from postproc.evidence.evidence_kernels import ranges
from postproc.ranking.ranking import DEPTH

# beyond it, float32 scores are too coarse for `CLEAR`
MAX_PENALTY = 50


def prune(evidence: Evidence, species_mismatch: np.ndarray, species_of_individual: np.ndarray) -> Evidence:
    """Leave out the photos and individuals that cannot matter.

    Parameters
    ----------
    evidence : Evidence
    species_mismatch : (n, n_species) float32 array
        As `rank` will be given it; a single column where there are no species.
    species_of_individual : (n_individuals,) int array

    Returns
    -------
    Evidence
        `rank` gives the same `DEPTH` places and bounds for all weights >= 0, up to `MAX_TOP_PHOTOS` photos per
        individual and any species penalty from 0 to `MAX_PENALTY`.
        `gallery_photos` falls by what is left out, so that the photos outside the candidates are as many as before.
    """
    keep_group = np.zeros(len(evidence.individual), dtype=bool)
    keep_photo = np.zeros(len(evidence.photo), dtype=bool)
    _mark(
        evidence.group_start,
        evidence.individual,
        evidence.gallery_photos,
        evidence.photo_start,
        _all_columns(evidence),
        species_mismatch,
        species_of_individual,
        keep_group,
        keep_photo,
    )
    photos_kept = np.append(0, np.cumsum(keep_photo))
    per_group = np.diff(photos_kept[evidence.photo_start])
    left_out = np.diff(evidence.photo_start) - per_group
    kept = np.append(0, np.cumsum(keep_group))
    return replace(
        _further_of(evidence, keep_group),
        group_start=kept[evidence.group_start],
        individual=evidence.individual[keep_group],
        gallery_photos=(evidence.gallery_photos - left_out)[keep_group].astype(np.int32),
        photo_start=np.append(0, np.cumsum(per_group[keep_group])),
        photo=evidence.photo[keep_photo],
        similarity=evidence.similarity[keep_photo],
        pairs=None if evidence.pairs is None else evidence.pairs[keep_photo],
        unseen_upper_bound=np.array(evidence.unseen_upper_bound),
        species_upper_bound=None if evidence.species_upper_bound is None else np.array(evidence.species_upper_bound),
    )


def _further_of(evidence: Evidence, keep_group: np.ndarray) -> Evidence:
    """Evidence with the further photos of some groups only."""
    if evidence.further_start is None or evidence.further_photo is None or evidence.further_similarity is None:
        return evidence
    n_further = np.diff(evidence.further_start)[keep_group]
    kept = ranges(evidence.further_start[:-1][keep_group], n_further)
    return replace(
        evidence,
        further_start=np.append(0, np.cumsum(n_further)),
        further_photo=evidence.further_photo[kept],
        further_similarity=evidence.further_similarity[kept],
    )


def _all_columns(evidence: Evidence) -> np.ndarray:
    """Similarities, and what pair sources say: no blend needs that, but the second stage looks at their best, too."""
    if evidence.pairs is None:
        return evidence.similarity
    compared = np.where(np.isnan(evidence.pairs), -np.inf, evidence.pairs)
    return np.ascontiguousarray(np.concatenate([evidence.similarity, compared], axis=1, dtype=np.float32))


@kernel(inline="always")
def _as_many_exceed(photos: np.ndarray, most: np.ndarray, first: bool, wanted: int) -> bool:
    """Whether `wanted` of an individual's photos exceed `most`: then the mean of its best ones does, too."""
    n_exceeding = 0
    for p in range(len(photos)):
        n_exceeding += exceeds(photos[p], most, first, CLEAR)
        if n_exceeding == wanted:
            return True
    return False


@kernel(inline="always")
def _mark_photos(start: int, stop: int, similarity: np.ndarray, keep_photo: np.ndarray) -> None:
    """Keep an individual's photos that fewer than `MAX_TOP_PHOTOS` of its others exceed."""
    for p in range(start, stop):
        better = 0
        for other in range(start, stop):
            better += other != p and exceeds(similarity[other], similarity[p], other < p, CLEAR)
            if better == MAX_TOP_PHOTOS:
                break
        keep_photo[p] = better < MAX_TOP_PHOTOS


@kernel(parallel=True)
def _mark(
    group_start: np.ndarray,
    individual: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    similarity: np.ndarray,
    species_mismatch: np.ndarray,
    species_of_individual: np.ndarray,
    keep_group: np.ndarray,
    keep_photo: np.ndarray,
) -> None:
    columns = similarity.shape[1]
    for q in numba.prange(len(group_start) - 1):
        start, stop = group_start[q], group_start[q + 1]
        n = stop - start
        most = np.empty((n, columns), dtype=np.float32)
        strength = np.empty(n)
        for i in range(n):
            photos = similarity[photo_start[start + i] : photo_start[start + i + 1]]
            for c in range(columns):
                most[i, c] = photos[:, c].max()
            strength[i] = most[i].sum()
        # whoever exceeds another one is stronger in sum, so the strongest are asked first
        order = np.argsort(-strength)
        for i in range(n):
            g = start + i
            mismatch_g = species_mismatch[q, species_of_individual[individual[g]]]
            above = 0
            for j in order:
                if strength[j] < strength[i] or above == DEPTH:
                    break
                h = start + j
                if j != i and species_mismatch[q, species_of_individual[individual[h]]] <= mismatch_g:
                    wanted = min(MAX_TOP_PHOTOS, gallery_photos[h])
                    # where they are level, the one that stands first wins; rounding may cost a mean a tie
                    first = j < i and wanted == 1
                    photos = similarity[photo_start[h] : photo_start[h + 1]]
                    above += exceeds(most[j], most[i], first, CLEAR) and _as_many_exceed(photos, most[i], first, wanted)
            keep_group[g] = above < DEPTH
            if keep_group[g]:
                _mark_photos(photo_start[g], photo_start[g + 1], similarity, keep_photo)
