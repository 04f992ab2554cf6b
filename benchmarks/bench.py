"""Ratios against peers in one run: exact neighbours against faiss, a trial against concatenating and searching again.

    make bench [ARGS="--photos 8000 --width 512 --trials 20"]

Times are of this machine in this minute; the ratios are what counts. Results go to benchmarks/results.json and
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import faiss
import numba
import numpy as np

from cv.metrics import average_precisions
from postproc import NEW, Gallery, Space, build_evidence, decide, rank, sweep, top_k

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    faiss.omp_set_num_threads(numba.get_num_threads())
    labels, sources = _world(options.photos, options.width, options.sources)
    results = {
        "machine": f"{platform.machine()}, {numba.get_num_threads()} threads, Python {platform.python_version()}",
        "sizes": vars(options),
        **_neighbours(sources[0]),
        **_trials(sources, labels, options.trials),
    }
    (ROOT / "benchmarks" / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    table = _table(results)
    (ROOT / "docs" / "benchmarks.md").write_text(table)
    print(table)


def _world(photos: int, width: int, sources: int) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, photos // 3, photos)).astype(np.int32)
    look = rng.standard_normal((photos // 3, width), dtype=np.float32)
    noisy = [look[labels] + 1.5 * rng.standard_normal((photos, width), dtype=np.float32) for _ in range(sources)]
    return labels, [array / np.linalg.norm(array, axis=1, keepdims=True) for array in noisy]


def _neighbours(array: np.ndarray) -> dict:
    half = len(array) // 2
    query, gallery = array[:half], array[half:]
    index = faiss.IndexFlatIP(array.shape[1])
    index.add(gallery)
    space = Space(((query,),), ((gallery,),))
    top_k(space, 100, query_rows=np.arange(8))  # compiles
    ours, found = _timed(lambda: top_k(space, 100))
    theirs, (_, expected) = _timed(lambda: index.search(query, 100))
    return {
        "knn_seconds": ours,
        "knn_faiss_seconds": theirs,
        "knn_ratio": theirs / ours,
        "knn_same": float((found.index == expected).mean()),
    }


def _trials(sources: list[np.ndarray], labels: np.ndarray, trials: int) -> dict:
    rng = np.random.default_rng(1)
    folds = rng.integers(0, 5, len(labels)).astype(np.int32)
    own = np.flatnonzero(folds == 0)
    spaces = {f"s{i}": Space(((a,),), ((a,),)) for i, a in enumerate(sources)}
    built, evidence = _timed(lambda: _evidence(spaces, labels, folds, own))
    have = np.bincount(labels[folds != 0], minlength=labels.max() + 1)[labels[own]]
    truth = np.where(have > 0, labels[own], NEW)
    weights = np.full(len(own), 1.0 / len(own))
    draws = rng.dirichlet(np.ones(len(sources)), trials)
    sweep(rank(evidence, draws[0]), truth, weights, "A")  # compiles
    ours, scores = _timed(lambda: [sweep(rank(evidence, w), truth, weights, "A") for w in draws])
    few = draws[:2]
    theirs, expected = _timed(lambda: [_concatenated(sources, w, labels, folds, own, truth) for w in few])
    checked = [
        float(average_precisions(decide(rank(evidence, weight), score[0]), truth).mean())
        for weight, score in zip(few, scores, strict=False)
    ]
    return {
        "evidence_seconds": built,
        "trial_seconds": ours / trials,
        "concatenation_seconds": theirs / len(few),
        "trial_ratio": (theirs / len(few)) / (ours / trials),
        "map5_difference": float(np.abs(np.array(expected) - checked).max()),
    }


def _evidence(spaces: dict, labels: np.ndarray, folds: np.ndarray, own: np.ndarray):
    groups = {"query_group": folds, "gallery_group": folds}
    near = {name: [top_k(space, 128, query_rows=own, **groups)] for name, space in spaces.items()}
    return build_evidence(spaces, {name: ["orig"] for name in spaces}, near, Gallery(labels, folds), own, 0)


def _concatenated(sources, weights, labels, folds, own, truth) -> float:
    """What a trial costs today: concatenate, search a flat index, best photo per individual, sweep a threshold."""
    from postproc import Ranking

    block = np.concatenate([np.sqrt(w) * a for w, a in zip(weights, sources, strict=True)], axis=1).astype(np.float32)
    rows = np.flatnonzero(folds != 0)
    index = faiss.IndexFlatIP(block.shape[1])
    index.add(block[rows])
    similarity, found = index.search(block[own], 128)
    names = np.full((len(own), 5), -1, dtype=np.int32)
    scores = np.full((len(own), 5), -np.inf, dtype=np.float32)
    for q in range(len(own)):
        who, first = np.unique(labels[rows[found[q]]], return_index=True)
        best = np.argsort(first)[:5]
        names[q, : len(best)], scores[q, : len(best)] = who[best], similarity[q, first[best]]
    return sweep(Ranking(names, scores, names), truth, np.full(len(own), 1.0 / len(own)), "A")[1]


def _timed(work):
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def _table(results: dict) -> str:
    sizes = results["sizes"]
    rows = [
        (
            "exact neighbours, k = 100, half of the photos against the other half",
            f"{results['knn_seconds']:.2f} s",
            f"faiss flat {results['knn_faiss_seconds']:.2f} s",
            f"{results['knn_ratio']:.1f}",
        ),
        (
            "one trial (weights to MAP@5 with the best threshold), a fifth of the photos",
            f"{1000 * results['trial_seconds']:.1f} ms",
            f"concatenate and search {results['concatenation_seconds']:.2f} s",
            f"{results['trial_ratio']:.0f}",
        ),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""# Benchmarks

Written by `make bench`: {results["machine"]}; {sizes["photos"]} photos, {sizes["width"]} wide,
{sizes["sources"]} sources.
Times differ from machine to machine and from minute to minute; the ratios are measured in one run.

| figure | finblend | peer | ratio |
|---|---|---|---|
{table}

Neighbours in the same place as faiss: {100 * results["knn_same"]:.3f} % (float32 sums differ in the last digits).
Largest difference in MAP@5 between a trial and concatenation: {results["map5_difference"]:.1e}.
Evidence, built once for all trials: {results["evidence_seconds"]:.1f} s.
"""


if __name__ == "__main__":
    main()
