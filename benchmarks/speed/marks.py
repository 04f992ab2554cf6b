"""Marks: a photo's features, a query's votes, a pair's verification; each against a peer, in one run.

    python -m benchmarks.speed.marks PROJECT --images FOLDER [--photos 32] [--pairs 300] [--queries 16]
        [--sizes 50000,100000,200000,400000,800000] [--json FILE]

The project has been matched by `sift`; the descriptors of its train photos are the gallery, whatever their species, and
sizes beyond them are made up by jittered copies. Peers: OpenCV's SIFT on photos enlarged alike, decoded by OpenCV, with
square roots and nothing kept; the inverted index against the exact vote; OpenCV's BFMatcher with ratio test and
estimateAffine2D by RANSAC. Everything on one thread but the votes.

What is measured is added to the JSON file, and docs/benchmarks-marks.md is written from it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

import ensemble
from backbones.local_features import FeatureStore, LocalPhotos, extract_features
from backbones.local_features.sift import CONTRAST, MOST_ENLARGED, SMALL
from backbones.matching import RatioMatcher, extent, pixel_threshold, verify
from benchmarks.common.marks_page import add
from benchmarks.common.measuring import best_of, machine, timed
from ensemble.marks.plan_rates import grown
from postproc.evidence.pairs import PairTable
from postproc.lnbnn.inverted_index import CELL, PROBES, InvertedIndex
from postproc.lnbnn.votes import MOST_PHOTOS, DescriptorIndex, ExactIndex, PhotoDescriptors, votes

KEYPOINTS = 400
TOP = 20
# of the ratio test, in both
RATIO = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--sizes", default="50000,100000,200000,400000,800000")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/marks.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    project = ensemble.Project.open(options.project)
    store, labels = FeatureStore(project.feature_folder("sift")), project.catalogue.labels
    results: dict[str, Any] = {"machine": machine()}
    files = sorted(str(path) for path in options.images.iterdir())
    with threadpool_limits(1):
        results["features"] = of_photos(rng.permutation(files)[: options.photos].tolist(), options.rounds)
        results["pairs"] = of_pairs(store, options.pairs, options.rounds, rng)
    sizes = [int(text) for text in options.sizes.split(",")]
    results["votes"] = [of_votes(store, labels, size, options.queries) for size in sizes]
    print(add(options.json, "speed", results))


def of_photos(files: list[str], rounds: int) -> dict[str, float]:
    """Seconds a photo, from the file to kept features."""
    photos = LocalPhotos(names=files, files=files, boxes=[None] * len(files), train=len(files))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract_features(photos, "sift", KEYPOINTS, Path(folder))

    def peer() -> None:
        sift = cv2.SIFT_create(nfeatures=KEYPOINTS, contrastThreshold=CONTRAST)
        for file in files:
            grey = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
            enlarged = min(MOST_ENLARGED, max(1.0, SMALL / max(grey.shape)))
            grey = cv2.resize(grey, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
            _, found = sift.detectAndCompute(grey, None)
            if found is not None:
                np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12))

    return _ratio(best_of(rounds, {"finblend": ours, "peer": peer}), len(files))


def of_pairs(store: FeatureStore, n: int, rounds: int, rng: np.random.Generator) -> dict[str, float]:
    """Seconds a pair, decoded features to inliers."""
    rows = rng.permutation(len(store.counts("train")))[: 2 * n].reshape(2, -1)
    features = {row: store.of_photo("train", row) for row in rows.ravel().tolist()}
    sizes = {row: tuple(int(side) for side in store.photo_sizes("train")[row][::-1]) for row in features}
    pairs = [(features[a], features[b], sizes[a], sizes[b]) for a, b in rows.T.tolist()]
    matcher, brute = RatioMatcher(RATIO), cv2.BFMatcher(cv2.NORM_L2)

    def ours() -> None:
        for a, b, size_a, size_b in pairs:
            found = matcher.match(a, b)
            if len(found):
                one, other = a.keypoints[found.pairs[:, 0]], b.keypoints[found.pairs[:, 1]]
                extents = extent(a.keypoints), extent(b.keypoints)
                verify(one, other, threshold=(pixel_threshold(size_a), pixel_threshold(size_b)), extents=extents)

    def peer() -> None:
        for a, b, _, size in pairs:
            if len(a.descriptors) and len(b.descriptors) > 1:
                two = [each for each in brute.knnMatch(a.descriptors, b.descriptors, k=2) if len(each) == 2]
                good = [first for first, second in two if first.distance < RATIO * second.distance]
                if len(good) >= 3:
                    one = a.keypoints[[match.queryIdx for match in good], :2]
                    other = b.keypoints[[match.trainIdx for match in good], :2]
                    cv2.estimateAffine2D(
                        one, other, method=cv2.RANSAC, ransacReprojThreshold=pixel_threshold(size), maxIters=2000
                    )

    ours()  # compiles
    return _ratio(best_of(rounds, {"finblend": ours, "peer": peer}), len(pairs))


def of_votes(store: FeatureStore, labels: np.ndarray, size: int, n_queries: int) -> dict[str, Any]:
    """Seconds a query photo with and without index in a gallery of a size, and how well the index agrees."""
    # the same queries at every size
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(store.counts("train")))
    asked, held = rows[:n_queries], np.sort(rows[n_queries:])
    descriptors, photo = store.descriptors("train", held)
    if size < len(photo):
        # whole photos, drawn
        some = held[rng.random(len(held)) < size / len(photo)]
        descriptors, photo = store.descriptors("train", some)
    n_photos = len(rows)
    if size > len(photo) * 1.5:
        # copies of the photos, as photos of their own
        copies = -(-size // len(photo))
        photo = (photo + n_photos * np.arange(copies)[:, None]).ravel()[:size]
        descriptors, n_photos = grown(descriptors, size, rng), n_photos * copies
        labels = (labels + (labels.max() + 1) * np.arange(copies)[:, None]).ravel()
    gallery = PhotoDescriptors(descriptors=descriptors, photo=photo, group=np.zeros(len(photo), np.int32))
    wanted, place = store.descriptors("train", np.sort(asked))
    place = np.searchsorted(np.sort(asked), place)
    queries = PhotoDescriptors(descriptors=wanted, photo=place, group=np.ones(len(place), np.int32))
    made, index = timed(lambda: InvertedIndex.of(gallery))
    tables: dict[str, PairTable] = {}

    def vote(name: str, by: DescriptorIndex) -> None:
        tables[name] = votes(by, queries, n_queries, n_photos)

    works = {"exact": lambda: vote("exact", ExactIndex(gallery)), "index": lambda: vote("index", index)}
    works["index"]()  # compiles
    seconds = best_of(1, works)
    return {
        "descriptors": len(photo),
        "exact": seconds["exact"] / n_queries,
        "index": seconds["index"] / n_queries,
        "index_made": made,
        "ratio": seconds["exact"] / seconds["index"],
        "recall": recall(tables["exact"], tables["index"], labels),
        "cell": CELL,
        "probes": PROBES,
    }


def recall(exact: PairTable, other: PairTable, labels: np.ndarray) -> float:
    """Share of the exact vote's `TOP` individuals, by their best photos, that are among the other vote's."""
    shares = []
    for a, b in zip(exact.top(MOST_PHOTOS), other.top(MOST_PHOTOS), strict=True):
        best, found = (_first_of(labels[photos[photos >= 0]])[:TOP] for photos in (a, b))
        if len(best):
            shares.append(np.isin(best, found).mean())
    return float(np.mean(shares))


def _first_of(labels: np.ndarray) -> np.ndarray:
    return labels[np.sort(np.unique(labels, return_index=True)[1])]


def _ratio(least: dict[str, float], n: int) -> dict[str, float]:
    return {
        "n": n,
        "seconds": least["finblend"] / n,
        "peer_seconds": least["peer"] / n,
        "ratio": least["peer"] / least["finblend"],
    }


if __name__ == "__main__":
    main()
