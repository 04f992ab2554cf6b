"""Whether what finblend predicts of the test is too high or too low, over many drawn worlds whose answers are known.

    python -m benchmarks.accuracy.bias whaleworld.py [--scale 0.08] [--models 4] [--seeds 101-120] [--per-fold]
        [--trials 30] [--nested-trials 8] [--new-share 0.112] [--gallery-mix 0.8] [--rules encounter,fold]

Each world is tuned by each rule of what a train photo does not meet (`tune --leave-out`), on the same folds.
`predicted` is the nested score, `low` and `high` its 95 % prediction interval, `reached` what the submission scores;
where the fold is left out `larger` is what the whole gallery is expected to change, added to what is predicted. The
last lines are means over the worlds with their standard errors, and how often the test lay inside the interval.

`whaleworld.py` draws the worlds (it is not part of finblend); its known test photos come in proportion to
(gallery photos) ^ 0.8, so that is the gallery mix that is stated.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import ensemble
from benchmarks.accuracy.drawn_worlds import drawn, seeds_of
from benchmarks.common.world import NEW_SHARE, World


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whaleworld")
    parser.add_argument("--scale", type=float, default=0.08)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seeds", type=seeds_of, default="101-120")
    parser.add_argument("--per-fold", action="store_true")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--nested-trials", type=int, default=8)
    parser.add_argument("--new-share", type=float, default=NEW_SHARE)
    parser.add_argument("--gallery-mix", type=float, default=0.8)
    parser.add_argument("--rules", default=None, help="default: encounter,fold; with --per-fold: fold")
    options = parser.parse_args()
    rules = (options.rules or ("fold" if options.per_fold else "encounter,fold")).split(",")
    rows: dict[str, list[dict[str, float]]] = {rule: [] for rule in rules}
    for seed in options.seeds:
        with drawn(options.whaleworld, options.scale, options.models, seed, options.per_fold) as (world, project):
            for rule in rules:
                row = measured(World(world), project, rule, options)
                rows[rule].append(row)
                told = ", ".join(f"{key} {value:.4f}" for key, value in row.items())
                print(f"seed {seed}, leaving out the {rule}: {told}", flush=True)
    for rule, of_rule in rows.items():
        print(summary(rule, of_rule))


def measured(world: World, project: Path, rule: str, options: argparse.Namespace) -> dict[str, float]:
    """What is predicted by one rule, and what is reached."""
    started = time.process_time()
    (project / "blend.json").unlink(missing_ok=True)
    tuned = ensemble.tune(
        project,
        trials=options.trials,
        nested_trials=options.nested_trials,
        new_share=options.new_share,
        gallery_exponent=options.gallery_mix,
        leave_out=rule,
    )
    if tuned.nested is None:
        sys.exit("--nested-trials: at least one is needed for a prediction")
    submission = world.folder / f"submission-{rule}.csv"
    ensemble.submit(project, submission)
    reached = world.score(submission)
    low, high = tuned.nested.prediction
    larger = tuned.larger_gallery.change if tuned.larger_gallery is not None else 0.0
    predicted = tuned.nested.map5 + larger
    return {
        "predicted": predicted,
        "reached": reached,
        "too_high": predicted - reached,
        "low": low + larger,
        "high": high + larger,
        "larger": larger,
        "in_sample": tuned.map5_of_answers,
        "cpu_seconds": time.process_time() - started,
    }


def summary(rule: str, rows: list[dict[str, float]]) -> str:
    """Means with standard errors, and how often the test lay inside."""
    off = np.array([row["too_high"] for row in rows])
    inside = sum(row["low"] <= row["reached"] <= row["high"] for row in rows)
    error = off.std(ddof=1) / np.sqrt(len(off)) if len(off) > 1 else float("nan")
    predicted, reached, larger, seconds = (
        float(np.mean([row[key] for row in rows])) for key in ("predicted", "reached", "larger", "cpu_seconds")
    )
    return (
        f"leaving out the {rule}, {len(rows)} worlds: predicted {predicted:.4f} (of it {larger:+.4f} for the larger "
        f"gallery), reached {reached:.4f}, too high by {off.mean():+.4f} (standard error {error:.4f}), inside the "
        f"interval {inside} of {len(rows)} times, {seconds:.0f} s of CPU a world"
    )


if __name__ == "__main__":
    main()
