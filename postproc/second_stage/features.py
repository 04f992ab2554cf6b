"""What the second stage knows of a candidate: numbers from all sources, relative to the query's other candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from postproc.neighbours.search import NOBODY
from postproc.second_stage.candidates import Candidates
from postproc.second_stage.candidates_kernels import BEST, SECOND, TOP3

# places 2 to 6 are a query's background, as in `Ranking.against_background`
_BACKGROUND = slice(1, 6)


@dataclass(frozen=True)
class CandidateFeatures:
    """Traits of each query's candidates.

    Attributes
    ----------
    names : tuple of str
        Of a candidate's traits.
    candidate : (n, places, traits) float32 array
        0 where there is nobody.
    query_names : tuple of str
    query : (n, query traits) float32 array
        What tells somebody new: the best candidate's traits and the query's background.
    present : (n, places) bool array
    individual, photo : (n, places) int32 arrays
        As of `Candidates`.
    species : (n,) int array
        The query's likeliest species.
    """

    names: tuple[str, ...]
    candidate: np.ndarray
    query_names: tuple[str, ...]
    query: np.ndarray
    present: np.ndarray
    individual: np.ndarray
    photo: np.ndarray
    species: np.ndarray

    def take(self, rows: np.ndarray) -> CandidateFeatures:
        """Those of some queries."""
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, **arrays)


_ARRAYS = ("candidate", "query", "present", "individual", "photo", "species")
# queries that are described at a time, which bounds the memory that is needed in between
_BLOCK = 4096


def candidate_features(
    candidates: Candidates,
    sources: tuple[str, ...],
    gallery_photos: np.ndarray,
    mismatch: np.ndarray,
    gallery_background: np.ndarray,
    species: np.ndarray,
    logits: Mapping[str, np.ndarray] | None = None,
) -> CandidateFeatures:
    """Describe candidates.

    Per source and for the blend: `best`, the best photo's similarity above the query's background (mean of the
    candidates 2 to 6); `second` and `top3`, how much lower the second best and the mean of the best three are;
    `behind`, how much lower than the query's best; `lead`, how much above the best of the others; `cohort`, the
    individual's background in the gallery (`postproc.second_stage.cohort`). Then `agree`, in how many sources the
    candidate is the best, its photos in the gallery and among the candidates, its rank, and `doubt`, the mismatch of
    its species.

    Parameters
    ----------
    candidates : Candidates
    sources : tuple of str
    gallery_photos : (n, places) int array
        Photos of the candidate in the query's gallery.
    mismatch : (n, places) float array
        Of the candidate's species.
    gallery_background : (n, places, sources + 1) float array
        Of the candidate.
    species : (n,) int array
        The query's likeliest.
    logits : mapping of source to (n, places) float array, optional
        What the source's own head says of the candidate; NaN where it does not know the individual. Gives `logit`, how
        far above the mean of the query's known candidates, and `logit_known`.
    """
    n = len(candidates.individual)
    parts = []
    for start in range(0, max(n, 1), _BLOCK):
        at = slice(start, start + _BLOCK)
        block_logits = {source: logit[at] for source, logit in (logits or {}).items()}
        part = candidates.take(np.arange(start, min(start + _BLOCK, n)))
        parts.append(
            _block(part, sources, gallery_photos[at], mismatch[at], gallery_background[at], species[at], block_logits)
        )
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return replace(parts[0], **arrays)


def _block(
    candidates: Candidates,
    sources: tuple[str, ...],
    gallery_photos: np.ndarray,
    mismatch: np.ndarray,
    gallery_background: np.ndarray,
    species: np.ndarray,
    logits: Mapping[str, np.ndarray],
) -> CandidateFeatures:
    present = candidates.individual != NOBODY
    columns = (*sources, "blend")
    best = candidates.similarity[..., BEST]
    with_all = present[..., None] & np.isfinite(best)
    level = np.where(with_all, best, -np.inf)
    background = _background(best, with_all)
    highest = level.max(axis=1, keepdims=True)
    first = level >= highest
    second_highest = np.where(first & (np.cumsum(first, axis=1) == 1), -np.inf, level).max(axis=1, keepdims=True)
    others = np.where(first, second_highest, highest)
    several = np.isfinite(candidates.similarity[..., SECOND])
    parts = {
        "best": best - background,
        "second": np.where(several, candidates.similarity[..., SECOND] - best, 0.0),
        "top3": candidates.similarity[..., TOP3] - best,
        "behind": best - highest,
        "lead": best - np.where(np.isfinite(others), others, background),
        "cohort": gallery_background,
    }
    names = [f"{what}:{column}" for what in parts for column in columns]
    numbers = [np.where(with_all, part, 0.0) for part in parts.values()]
    # what a photo of poor quality costs depends on the quality of the other: products, in the blend
    cosine, cohort = np.where(with_all[..., -1], best[..., -1], 0.0), gallery_background[..., -1]
    level_of_query = np.broadcast_to(background[..., -1], cosine.shape)
    rank = np.broadcast_to(np.arange(present.shape[1]), present.shape)
    for name, number in (
        ("best*best", cosine**2),
        ("best*cohort", cosine * cohort),
        ("best*background", cosine * level_of_query),
        ("cohort*cohort", cohort**2),
        ("cohort*background", cohort * level_of_query),
        ("agree", (first & with_all).sum(axis=2)),
        ("gallery_photos", np.log1p(gallery_photos)),
        ("seen", np.log1p(candidates.seen)),
        ("single", candidates.seen == 1),
        ("rank", np.log1p(rank)),
        ("doubt", mismatch),
    ):
        names.append(name)
        numbers.append(np.where(present, number, 0.0)[..., None])
    for source, logit in logits.items():
        known = present & np.isfinite(logit)
        usual = np.where(known, logit, 0.0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
        names += [f"logit:{source}", f"logit_known:{source}"]
        numbers += [np.where(known, logit - usual, 0.0)[..., None], known[..., None]]
    each = np.concatenate(numbers, axis=2).astype(np.float32)
    query = np.concatenate([each[:, 0], background[:, 0].astype(np.float32)], axis=1)
    query_names = (*names, *(f"background:{column}" for column in columns))
    return CandidateFeatures(
        tuple(names), each, query_names, query, present, candidates.individual, candidates.photo, species
    )


def _background(best: np.ndarray, is_present: np.ndarray) -> np.ndarray:
    """(n, 1, columns): mean of the places 2 to 6; the best itself where there are none, 0 where nothing is known."""
    part, known = best[:, _BACKGROUND], is_present[:, _BACKGROUND]
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, part, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    alone = np.where(is_present[:, :1], best[:, :1], 0.0)
    return np.asarray(np.where(count > 0, mean, alone))
