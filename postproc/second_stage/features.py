"""What the second stage knows of a candidate: numbers from all sources, relative to the query's other candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from postproc.neighbours.search import NOBODY
from postproc.second_stage.candidates import Candidates
from postproc.second_stage.candidates_kernels import BEST, SECOND, TOP3
from postproc.second_stage.traits import CandidateRows, Trait

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
        0 where there is nobody, NaN where a trait is not known.
    query_names : tuple of str
    query : (n, query traits) float32 array
        What tells somebody new: the best candidate's traits and the query's background.
    present : (n, places) bool array
    individual, photo : (n, places) int32 arrays
        As of `Candidates`.
    species : (n,) int array
        The query's likeliest species.
    own_say : int
        So many of the last traits of a candidate have a say of their own in each species.
    """

    names: tuple[str, ...]
    candidate: np.ndarray
    query_names: tuple[str, ...]
    query: np.ndarray
    present: np.ndarray
    individual: np.ndarray
    photo: np.ndarray
    species: np.ndarray
    own_say: int = 0

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
    traits: Sequence[Trait] = (),
    rows: CandidateRows | None = None,
) -> CandidateFeatures:
    """Describe candidates.

    Per source and for the blend: `best`, the best photo's similarity above the query's background (mean of the
    candidates 2 to 6); `second` and `top3`, how much lower the second best and the mean of the best three are;
    `behind`, how much lower than the query's best; `lead`, how much above the best of the others; `cohort`, the
    individual's background in the gallery (`postproc.second_stage.cohort`). Then `agree`, in how many sources the
    candidate is the best, its photos in the gallery and among the candidates, its rank, and `doubt`, the mismatch of
    its species. Behind these stand the traits, and for each that is not known of everybody whether it is. A query has
    its first candidate's numbers, and of each trait the highest among its candidates.

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
    traits : sequence of Trait
        What else is known.
    rows : CandidateRows, optional
        What traits are asked about: these candidates.
    """
    n = len(candidates.individual)
    parts = []
    for start in range(0, max(n, 1), _BLOCK):
        at = slice(start, start + _BLOCK)
        block = np.arange(start, min(start + _BLOCK, n))
        values = [trait.of(rows.take(block)) for trait in traits] if rows is not None else []
        known = [(trait.name, np.asarray(value)) for trait, value in zip(traits, values, strict=True)]
        part = candidates.take(block)
        parts.append(
            _block(part, sources, gallery_photos[at], mismatch[at], gallery_background[at], species[at], known)
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
    traits: Sequence[tuple[str, np.ndarray]],
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
    query_names = [*names, *(f"background:{column}" for column in columns)]
    query_numbers = [number[:, 0] for number in numbers] + [background[:, 0]]
    for name, value in traits:
        known = present & np.isfinite(value)
        highest = np.where(known, value, -np.inf).max(axis=1)
        names += [name, f"known:{name}"]
        numbers += [np.where(known | ~present, np.where(known, value, 0.0), np.nan)[..., None], known[..., None]]
        query_names += [name, f"known:{name}", f"highest:{name}"]
        query_numbers += [
            numbers[-2][:, 0],
            numbers[-1][:, 0],
            np.where(np.isfinite(highest), highest, np.nan)[:, None],
        ]
    return CandidateFeatures(
        tuple(names),
        np.concatenate(numbers, axis=2).astype(np.float32),
        tuple(query_names),
        np.concatenate(query_numbers, axis=1).astype(np.float32),
        present,
        candidates.individual,
        candidates.photo,
        species,
        own_say=2 * len(traits),
    )


def _background(best: np.ndarray, is_present: np.ndarray) -> np.ndarray:
    """(n, 1, columns): mean of the places 2 to 6; the best itself where there are none, 0 where nothing is known."""
    part, known = best[:, _BACKGROUND], is_present[:, _BACKGROUND]
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, part, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    alone = np.where(is_present[:, :1], best[:, :1], 0.0)
    return np.asarray(np.where(count > 0, mean, alone))
