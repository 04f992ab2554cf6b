"""finblend on drawn worlds whose answers are known: what the submission scores, and how far the prediction was off.

    python -m benchmarks.accuracy.drawn_worlds whaleworld.py [--scale 0.08] [--models 4] [--seeds 10,31-35] [--per-fold]
        [--trials 100] [--nested-trials 100]

`nested` is what finblend expects of the test, `low` and `high` its 95 % prediction interval for a test of that size;
the last lines count in how many worlds the test lay inside, and put the probabilities that `decide` wrote beside how
often they came true.

`auto` is the share of test photos that `decide` lets pass at 99 %, `auto_right` how often it was right,
`by_probability` MAP@5 of its order, `ece_*` calibration errors out-of-fold.

`whaleworld.py` draws the worlds (it is not part of finblend). What public recipes reach there: `recipes.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from benchmarks.accuracy import reliability
from benchmarks.common.world import World, run_whaleworld
from cv.metrics import map5

SHARE = 0.112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whaleworld")
    parser.add_argument("--scale", type=float, default=0.08)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seeds", type=seeds_of, default="0,10,11")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nested-trials", type=int, default=100)
    parser.add_argument("--per-fold", action="store_true")
    options = parser.parse_args()
    rows, outcomes = [], []
    for seed in options.seeds:
        with drawn(options.whaleworld, options.scale, options.models, seed, options.per_fold) as (world, project):
            row, outcomes_of_world = run(world, project, options.trials, options.nested_trials)
            rows.append(row)
            outcomes.append(outcomes_of_world)
            print(f"seed {seed}: {_shown(row)}", flush=True)
    print(f"mean: {_shown({key: float(np.mean([row[key] for row in rows])) for key in rows[0]})}")
    print(f"the test lay inside the prediction interval in {int(sum(r['inside'] for r in rows))} of {len(rows)}\n")
    print(reliability.page(outcomes))


def seeds_of(text: str) -> list[int]:
    """`0,10,31-33` as numbers."""
    seeds: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        seeds += range(int(low), int(high or low) + 1)
    return seeds


@contextmanager
def drawn(
    whaleworld: str, scale: float, models: int, seed: int, per_fold: bool = False, keep: Path | None = None
) -> Iterator[tuple[Path, Path]]:
    """A world and a project with its models registered, gone afterwards unless a folder is given to keep them in."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if keep is None else keep / f"seed{seed}"
        world, project = folder / "world", folder / "project"
        if not project.exists():
            run_whaleworld(whaleworld, world, scale, models, seed, per_fold).project(project)
        yield world, project


def _shown(row: dict) -> str:
    return ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())


def run(world: Path, project: Path, trials: int, nested_trials: int) -> tuple[dict, dict[str, reliability.Outcomes]]:
    """Tune, submit, decide; what came of it, and the probabilities with what came true."""
    tuned = ensemble.tune(project, trials=trials, new_share=SHARE, nested_trials=nested_trials)
    nested = tuned.nested
    if nested is None:
        raise SystemExit("--nested-trials: at least one is needed for a prediction")
    low, high = nested.prediction
    ensemble.submit(project, world / "submission.csv")
    answers = pl.read_csv(world / "test_answers.csv")["answer"].to_list()
    test = World(world).score(world / "submission.csv")
    row = {"test": test, "nested": nested.map5, "missed_by": nested.map5 - test, "low": low, "high": high}
    row |= {"inside": float(low <= test <= high), "in_sample": tuned.map5}
    row |= _decided(world, project, answers)
    return row, reliability.outcomes(world / "decisions.csv", answers)


def _decided(world: Path, project: Path, answers: list[str]) -> dict:
    """How much of test the auto band takes and how often it is right, and the list in order of probability."""
    decided = ensemble.decide(project, world / "decisions.csv")
    table = pl.read_csv(world / "decisions.csv").with_columns(answer=pl.Series(answers))
    names = table.select(f"name_{k}" for k in range(1, 6)).rows()
    auto = table.filter(pl.col("band") == "auto")
    right = (auto["name_1"] == auto["answer"]).mean()
    return {
        "auto": decided.bands["auto"].share,
        "auto_right": float("nan") if right is None else float(right),
        "by_probability": map5([[name for name in row if name is not None] for row in names], answers),
        "ece_same": decided.calibration.same,
        "ece_new": decided.calibration.new,
        "strangers_estimated": decided.new_share.estimated,
    }


if __name__ == "__main__":
    main()
