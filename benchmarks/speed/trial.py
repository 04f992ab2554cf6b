"""One trial against what it replaces: concatenate, search a flat index, best photo per individual, score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks.common.measuring import timed
from benchmarks.speed.faiss_peer import faiss
from cv.left_out import FOLD
from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.protocol.setup import Setup, read_setup
from ensemble.registry.left_out import groups_of
from postproc import Ranking, decide

# photos that the flat index answers with: enough for five individuals
DEEP = 256
TIE = 1e-6


def measure(folder: Path, rounds: int, sample: int) -> dict[str, Any]:
    """Seconds of a trial over all out-of-fold photos, and of the peer on a sample of one fold, scaled."""
    project = Project.open(folder)
    setup = read_setup(project, Mix(0.112))
    names = list(setup.models)
    rng = np.random.default_rng(0)
    draws = [dict(zip(names, rng.dirichlet(np.ones(len(names))).tolist(), strict=True)) for _ in range(rounds + 1)]
    blends = [Blend(weights, dict(setup.whitening)) for weights in draws]
    evaluation_set = setup.evaluation_set
    outcome = evaluation_set.score(blends[0])  # compiles
    seconds = sorted(timed(lambda blend=blend: evaluation_set.score(blend))[0] for blend in blends[1:])
    median = seconds[len(seconds) // 2]
    fold = project.catalogue.fold_ids[0]
    rows = np.flatnonzero(project.catalogue.folds == fold)
    chosen = rows if len(rows) <= sample else np.sort(rng.choice(rows, sample, replace=False))
    blend = Blend(draws[0], dict(setup.whitening), rule="A", threshold=outcome.decision.threshold)
    fixed_seconds, search_seconds, answers = _concatenated(project, setup, blend, fold, chosen)
    photos = len(project.catalogue.labels)
    # where the fold is left out, each fold's photos meet another gallery
    galleries = len(project.catalogue.fold_ids) if setup.retriever.leave_out == FOLD else 1
    peer = galleries * fixed_seconds + search_seconds * photos / len(chosen)
    position = {int(row): n for n, row in enumerate(evaluation_set.queries)}
    at = [position[int(row)] for row in chosen]
    precision = evaluation_set.score(blend, blend.decision).precision[at]
    peer_precision, gap = answers
    differ = np.abs(precision - peer_precision) > 1e-12
    return {
        "seconds": median,
        "peer_seconds": peer,
        "ratio": peer / median,
        "sample": len(chosen),
        "photos": photos,
        "sources": len(names),
        "candidates_per_photo": len(evaluation_set.query_set.evidence.photo) / photos,
        "map5": float(precision.mean()),
        "peer_map5": float(peer_precision.mean()),
        "differ": int(differ.sum()),
        "differ_beyond_ties": int((differ & (gap > TIE)).sum()),
        "certified": 1.0 - outcome.undecided,
        "width": outcome.upper - outcome.lower,
    }


def _concatenated(
    project: Project, setup: Setup, blend: Blend, fold: int, chosen: np.ndarray
) -> tuple[float, float, tuple[np.ndarray, np.ndarray]]:
    """Seconds that do not and that do depend on the queries; precision of each, and the least lead in its list."""
    faiss.omp_set_num_threads(numba.get_num_threads())
    labels, groups = project.catalogue.labels, groups_of(project, setup.retriever.leave_out)
    by_fold = setup.retriever.leave_out == FOLD
    gallery = np.flatnonzero(project.catalogue.folds != fold) if by_fold else np.arange(len(labels))

    def concatenate(rows: np.ndarray) -> np.ndarray:
        blocks = []
        for name, model in setup.models.items():
            array = np.asarray(model.out_of_fold_store(fold).embedding("train", model.views[0])[rows])
            unit = array / np.linalg.norm(array, axis=1, keepdims=True)
            blocks.append(np.float32(np.sqrt(blend.weights[name])) * unit)
        return np.concatenate(blocks, axis=1)

    def build() -> faiss.Index:
        block = concatenate(gallery)
        index = faiss.IndexFlatIP(block.shape[1])
        index.add(block)
        return index

    def search() -> tuple[np.ndarray, np.ndarray]:
        return index.search(concatenate(chosen), DEEP)

    fixed, index = timed(build)
    seconds, (similarity, neighbours) = timed(search)
    people = np.full((len(chosen), 6), -1, dtype=np.int32)
    scores = np.full((len(chosen), 6), -np.inf, dtype=np.float32)
    for q in range(len(chosen)):
        near = gallery[neighbours[q]]
        met = groups[near] != groups[chosen[q]]
        individuals, first = np.unique(labels[near[met]], return_index=True)
        best = np.argsort(first)[:6]
        people[q, : len(best)], scores[q, : len(best)] = individuals[best], similarity[q, met][first[best]]
    truth = setup.evaluation_set.query_set.truth
    ranking = Ranking(people[:, :5], scores[:, :5], people[:, :5])
    precision = average_precisions(decide(ranking, blend.decision), truth[chosen])
    # behind the last name of a short list nobody leads anybody
    lead = -np.diff(np.where(np.isfinite(scores), scores, -9.0), axis=1)
    near_threshold = np.abs(scores[:, 0] - blend.threshold)
    return fixed, seconds, (precision, np.minimum(lead.min(axis=1), near_threshold))
