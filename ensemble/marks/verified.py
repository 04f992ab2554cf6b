"""Verification of a shortlist: matched keypoints that one map of the plane explains.

Done in blocks of queries, each kept as it is done. A later call with a longer shortlist compares only what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from backbones.local_features import FeatureStore, LocalFeatures
from backbones.matching import Matcher, Model, extent, pixel_threshold, verify
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.engine.kept import read_arrays, write_arrays
from ensemble.engine.shards import shards
from ensemble.project.progress import Progress

BLOCK = 64
# gallery photos whose features stay decoded: 200 MB of RootSIFT
_DECODED = 1024
# pairs of a query whose matched points are kept for pictures, and points of each
PICTURED, POINTS = 5, 40
# inliers below which a picture would show chance
FEWEST = 4
_NAMES = ("query", "gallery", "inliers", "spread", "n_points", "points")


@dataclass(frozen=True, kw_only=True)
class VerifiedPairs:
    """Verified pairs, ascending by query, then gallery.

    Attributes
    ----------
    query, gallery : (m,) int32 arrays
    inliers : (m,) float32 array
        How many matches one map explains.
    spread : (m,) float32 array
        How much of the photos they cover.
    n_points : (m,) int32 array
        How many matched points are kept of each pair.
    points : (sum of n_points, 4) float32 array
        x, y in the query and x, y in the gallery photo, in shares of width and height.
    """

    query: np.ndarray
    gallery: np.ndarray
    inliers: np.ndarray
    spread: np.ndarray
    n_points: np.ndarray
    points: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[VerifiedPairs]) -> VerifiedPairs:
        """Several sets of pairs, sorted."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES}
        order = np.lexsort((columns["gallery"], columns["query"]))
        start = np.append(0, np.cumsum(columns["n_points"]))[:-1][order]
        length = columns["n_points"][order]
        # the k-th kept point of each pair lies k behind the pair's first
        first = np.append(0, np.cumsum(length))
        at = np.arange(first[-1]) + np.repeat(start - first[:-1], length)
        return cls(points=columns["points"][at], **{name: columns[name][order] for name in _NAMES[:-1]})

    def where(self, keep: np.ndarray) -> VerifiedPairs:
        """The pairs that are true in a mask."""
        return VerifiedPairs(
            points=self.points[np.repeat(keep, self.n_points)],
            **{name: getattr(self, name)[keep] for name in _NAMES[:-1]},
        )

    @classmethod
    def none(cls) -> VerifiedPairs:
        """No pair."""
        empty = np.empty(0, np.int32)
        return cls(
            query=empty,
            gallery=empty,
            inliers=empty.astype(np.float32),
            spread=empty.astype(np.float32),
            n_points=empty,
            points=np.empty((0, 4), np.float32),
        )


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Compares pairs of photos by one store of features.

    Attributes
    ----------
    store : FeatureStore
    matcher : Matcher
    model : {"affine", "homography", "none"}
    max_rotation : float
        Degrees.
    views : sequence of str
        In which the queries are shown; the better one counts.
    folder : Path
        Where blocks are kept; belongs to these very features, matcher and model.
    workers : int
        Threads: products and compiled loops let go of the interpreter.
    """

    store: FeatureStore
    matcher: Matcher
    model: Model
    max_rotation: float
    views: Sequence[str]
    folder: Path
    workers: int
    _compared: list[int] = field(default_factory=list, init=False, repr=False)

    @property
    def compared(self) -> int:
        """Pairs that this object compared; the others were there."""
        return sum(self._compared)

    def pairs(
        self,
        split: str,
        query: np.ndarray,
        gallery: np.ndarray,
        progress: Progress | None = None,
        total: int = 0,
        engine: Engine = HERE,
        project: Path = Path(),
    ) -> VerifiedPairs:
        """Verify pairs of a split's queries and train photos.

        Parameters
        ----------
        split : {"train", "test"}
        query, gallery : (m,) int arrays
            Ascending by query.
        progress : callable, optional
            Told of pairs.
        total : int
            Pairs of both splits.
        engine : Engine
            Where they are compared.
        project : Path
            The project's folder.
        """
        blocks = []
        for block in np.unique(query // BLOCK).tolist():
            inside = slice(*np.searchsorted(query, (block * BLOCK, (block + 1) * BLOCK)))
            blocks.append((block, query[inside], gallery[inside]))
        work = partial(_verified, self, split, total)
        done = engine.map(work, shards(blocks), name="pairs verified", folder=project, progress=progress)
        found = [VerifiedPairs.none()]
        for pairs, compared in done:
            found += pairs
            self._compared.append(compared)
        return VerifiedPairs.joined(found)

    def blocks(
        self, split: str, blocks: Sequence[tuple[int, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[VerifiedPairs, int]]:
        """The pairs of some blocks of queries, kept or compared now, and how many were compared."""
        decoded = lru_cache(_DECODED)(self._gallery_photo)
        with ThreadPoolExecutor(self.workers) as pool:
            for block, query, gallery in blocks:
                path = self.folder / f"verified-{split}-{block:06d}.npz"
                arrays = read_arrays(path, _NAMES)
                known = VerifiedPairs.none() if arrays is None else VerifiedPairs(**arrays)
                wanted, have = _key(query, gallery), _key(known.query, known.gallery)
                new = np.setdiff1d(wanted, have)
                if len(new):
                    rows = np.unique(new >> 32)
                    of_queries = pool.map(
                        lambda row, new=new: self._compare(split, row, new[new >> 32 == row], decoded), rows.tolist()
                    )
                    known = VerifiedPairs.joined([known, *of_queries])
                    write_arrays(path, {name: getattr(known, name) for name in _NAMES})
                # what an earlier call compared beside is of no matter
                yield known.where(np.isin(_key(known.query, known.gallery), wanted)), len(new)

    def _gallery_photo(self, row: int) -> tuple[LocalFeatures, float]:
        features = self.store.of_photo("train", row)
        return features, extent(features.keypoints)

    def _compare(self, split: str, row: int, keys: np.ndarray, decoded: object) -> VerifiedPairs:
        shown = [self.store.of_photo(split, row, view) for view in self.views]
        extents = [extent(features.keypoints) for features in shown]
        size = self._size(split, row)
        gallery = (keys & 0xFFFFFFFF).astype(np.int32)
        inliers, spread = np.zeros(len(gallery), np.float32), np.zeros(len(gallery), np.float32)
        points: list[np.ndarray] = []
        for n, other in enumerate(gallery.tolist()):
            best = np.empty((0, 4), np.float32)
            features, covered = decoded(other)  # type: ignore[operator]
            other_size = self._size("train", other)
            for view, query, covered_of_query in zip(self.views, shown, extents, strict=True):
                matches = self.matcher.match(query, features, (size, other_size))
                if not len(matches):
                    continue
                a, b = query.keypoints[matches.pairs[:, 0]], features.keypoints[matches.pairs[:, 1]]
                found = verify(
                    a,
                    b,
                    self.model,
                    threshold=(pixel_threshold(size), pixel_threshold(other_size)),
                    extents=(covered_of_query, covered),
                    max_rotation=self.max_rotation,
                )
                if found.count > inliers[n]:
                    inliers[n], spread[n] = found.count, found.spread
                    best = _shares(a[found.inliers], b[found.inliers], size, other_size, view)
            points.append(best[:POINTS] if inliers[n] >= FEWEST else best[:0])
        pictured = np.argsort(-inliers, kind="stable")[:PICTURED]
        kept = [each if n in pictured else each[:0] for n, each in enumerate(points)]
        return VerifiedPairs(
            query=np.full(len(gallery), row, np.int32),
            gallery=gallery,
            inliers=inliers,
            spread=spread,
            n_points=np.array([len(each) for each in kept], np.int32),
            points=np.concatenate([np.empty((0, 4), np.float32), *kept]),
        )

    def _size(self, split: str, row: int) -> tuple[int, int]:
        height, width = self._sizes[split][row]
        return max(int(width), 1), max(int(height), 1)

    @cached_property
    def _sizes(self) -> dict[str, np.ndarray]:
        return {split: self.store.photo_sizes(split) for split in ("train", "test")}


def _verified(
    verifier: Verifier,
    split: str,
    total: int,
    blocks: Sequence[tuple[int, np.ndarray, np.ndarray]],
    progress: Progress | None,
) -> tuple[list[VerifiedPairs], int]:
    """The pairs of some blocks, and how many were compared."""
    found, compared = [], 0
    for pairs, new in verifier.blocks(split, blocks):
        found.append(pairs)
        compared += new
        if progress is not None:
            progress("pairs verified", len(pairs.query), total)
    return found, compared


def _shares(
    query: np.ndarray, gallery: np.ndarray, size: tuple[int, int], other_size: tuple[int, int], view: str
) -> np.ndarray:
    points = np.concatenate([query[:, :2] / size, gallery[:, :2] / other_size], axis=1).astype(np.float32)
    if view == "hflip":
        points[:, 0] = 1.0 - points[:, 0]
    return points


def _key(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return (query.astype(np.int64) << 32) | gallery.astype(np.int64)
