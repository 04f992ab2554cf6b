"""finblend on drawn worlds whose answers are known: what the submission scores, and how far the prediction was off.

    python benchmarks/worlds.py whaleworld.py [--scale 0.08] [--models 4] [--seeds 0,10,11] [--per-fold] [--trials 100]
        [--nested-trials 100]

`nested` is what finblend expects of the test, `low` and `high` its 95 % prediction interval for a test of that size.

`auto` is the share of test photos that `decide` lets pass at 99 %, `auto_right` how often it was right,
`by_probability` MAP@5 of its order, `ece_*` calibration errors out-of-fold.

`whaleworld.py` draws the worlds (it is not part of finblend). The recipe beside it is today's usual one, tuned on the
same out-of-fold photos: concatenate the normalised embeddings, best photo per individual, rule A, threshold from the
plain out-of-fold scores weighted to the share of strangers. It uses frozen models only, as it needs one space.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from cv.catalogue import NEW_INDIVIDUAL
from cv.metrics import map5

SHARE = 0.112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whaleworld")
    parser.add_argument("--scale", type=float, default=0.08)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seeds", default="0,10,11")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nested-trials", type=int, default=100)
    parser.add_argument("--per-fold", action="store_true")
    options = parser.parse_args()
    rows = []
    for seed in map(int, options.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            world = Path(folder) / "world"
            command = [sys.executable, options.whaleworld, str(world), "--scale", str(options.scale)]
            command += ["--models", str(options.models), "--seed", str(seed)]
            subprocess.run(command + ["--per-fold"] * options.per_fold, check=True, stdout=subprocess.DEVNULL)
            rows.append(_run(world, Path(folder) / "project", options))
            print(f"seed {seed}: {_shown(rows[-1])}", flush=True)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    print(f"mean: {_shown(mean)}")


def _shown(row: dict) -> str:
    return ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())


def _run(world: Path, project: Path, options: argparse.Namespace) -> dict:
    folds = f"{world}/folds.csv:fold" if options.per_fold else 5
    ensemble.init(project, train=world / "train.csv", test=world / "sample_submission.csv", folds=folds)
    for path in sorted(world.glob("*.npz")):
        name, _, fold = path.stem.partition("-fold")
        if fold:
            ensemble.register(project, name, fold=int(fold), train=path, test=path)
        else:
            ensemble.register(project, name, frozen=True, train=path, test=path)
    tuned = ensemble.tune(project, trials=options.trials, new_share=SHARE, nested_trials=options.nested_trials)
    nested = tuned["nested"]
    low, high = nested["prediction"]
    ensemble.submit(project, world / "submission.csv")
    answers = pl.read_csv(world / "test_answers.csv")["answer"].to_list()
    test = map5(pl.read_csv(world / "submission.csv")["predictions"].str.split(" ").to_list(), answers)
    row = {"test": test, "nested": nested["map5"], "missed_by": nested["map5"] - test, "low": low, "high": high}
    row |= {"inside": float(low <= test <= high), "in_sample": tuned["map5"]}
    row |= _decided(world, project, answers)
    if not options.per_fold:
        row["recipe"] = _recipe(world, project, answers)
    return row


def _decided(world: Path, project: Path, answers: list[str]) -> dict:
    """How much of test the auto band takes and how often it is right, and the list in order of probability."""
    told = ensemble.decide(project, world / "decisions.csv")
    table = pl.read_csv(world / "decisions.csv").with_columns(answer=pl.Series(answers))
    names = table.select(f"name_{k}" for k in range(1, 6)).rows()
    auto = table.filter(pl.col("band") == "auto")
    right = (auto["name_1"] == auto["answer"]).mean()
    return {
        "auto": told["bands"]["auto"]["share"],
        "auto_right": float("nan") if right is None else float(right),
        "by_probability": map5([[name for name in row if name is not None] for row in names], answers),
        "ece_same": told["calibration"]["same"],
        "ece_new": told["calibration"]["new"],
        "strangers_estimated": told["new_share"]["estimated"],
    }


def _recipe(world: Path, project: Path, answers: list[str]) -> float:
    catalogue = ensemble.Project.open(project).catalogue
    blocks = {"train": [], "test": []}
    for path in sorted(world.glob("*.npz")):
        with np.load(path) as file:
            for split, parts in blocks.items():
                array = file[f"{split}_embedding"].astype(np.float32)
                parts.append(array / np.linalg.norm(array, axis=1, keepdims=True))
    train, test = (np.concatenate(blocks[split], axis=1) / np.sqrt(len(blocks["train"])) for split in ("train", "test"))
    labels, folds = catalogue.labels, catalogue.folds
    names, scores = _best_five(train, train, labels, folds[:, None] != folds[None, :])
    known = np.array([(labels[folds != f] == label).any() for label, f in zip(labels, folds, strict=True)])
    weights = np.where(known, (1 - SHARE) / known.sum(), SHARE / (~known).sum())
    hit = names == labels[:, None]
    grid = np.linspace(scores[:, 0].min(), scores[:, 0].max(), 200)
    threshold = max(grid, key=lambda t: weights @ _rule_a(hit, known, scores[:, 0] < t))
    names, scores = _best_five(test, train, labels, None)
    lists = []
    for row, score in zip(names, scores[:, 0], strict=True):
        named = [catalogue.individuals[i] for i in row]
        lists.append([NEW_INDIVIDUAL, *named[:4]] if score < threshold else [named[0], NEW_INDIVIDUAL, *named[1:4]])
    return map5(lists, answers)


def _best_five(
    query: np.ndarray, gallery: np.ndarray, labels: np.ndarray, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) > 0])
    similarity = query @ gallery.T
    if allowed is not None:
        similarity[~allowed] = -2
    best = np.maximum.reduceat(similarity[:, order], starts, axis=1)
    top = np.argsort(-best, axis=1, kind="stable")[:, :5]
    return labels[order][starts][top], np.take_along_axis(best, top, axis=1)


def _rule_a(hit: np.ndarray, known: np.ndarray, new_first: np.ndarray) -> np.ndarray:
    """Average precision of [new, 1, 2, 3, 4] or [1, new, 2, 3, 4]."""
    rank = np.where(hit.any(axis=1), hit.argmax(axis=1), 9)
    places = np.where(new_first | (rank > 0), rank + 2, 1)
    of_known = np.where(places <= 5, 1.0 / places, 0.0)
    return np.where(known, of_known, np.where(new_first, 1.0, 0.5))


if __name__ == "__main__":
    main()
