"""How near `--new-share estimate` comes on drawn worlds whose share of strangers is known.

    python -m benchmarks.accuracy.new_share whaleworld.py [--scale 0.04] [--models 3] [--seeds 31,32,35]
        [--shares 0.05,0.2,0.3] [--folds 5] [--per-fold]

The answers judge; the estimate is made without them, from equal weights.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whaleworld")
    parser.add_argument("--scale", type=float, default=0.04)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--seeds", default="31,32,35")
    parser.add_argument("--shares", default="0.05,0.2,0.3")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--per-fold", action="store_true")
    options = parser.parse_args()
    missed, errors = [], []
    for share in map(float, options.shares.split(",")):
        for seed in map(int, options.seeds.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                world = Path(folder) / "world"
                command = [sys.executable, options.whaleworld, str(world), "--scale", str(options.scale)]
                command += ["--models", str(options.models), "--seed", str(seed), "--new-share", str(share)]
                subprocess.run(command + ["--per-fold"] * options.per_fold, check=True, stdout=subprocess.DEVNULL)
                found = _estimate(world, Path(folder) / "project", options)
                answers = pl.read_csv(world / "test_answers.csv")["answer"]
            true = float((answers == NEW_INDIVIDUAL).mean())  # type: ignore[arg-type]
            missed.append(found["share"] - true)
            errors.append(found["error"])
            print(
                f"seed {seed}: true {true:.3f}, estimated {found['share']:.3f}, standard error {found['error']:.3f}, "
                f"rounds {found['rounds']}",
                flush=True,
            )
    print(
        f"missed by {np.mean(missed):+.3f} on average, {np.sqrt(np.mean(np.square(missed))):.3f} root mean square; ",
        end="",
    )
    print(f"mean standard error {np.mean(errors):.3f}")


def _estimate(world: Path, project: Path, options: argparse.Namespace) -> dict:
    folds = f"{world}/folds.csv:fold" if options.per_fold else options.folds
    ensemble.init(project, train=world / "train.csv", test=world / "sample_submission.csv", folds=folds)
    for path in sorted(world.glob("*.npz")):
        name, _, fold = path.stem.partition("-fold")
        seen = {"fold": int(fold)} if fold else {"frozen": True}
        ensemble.register(project, name, **seen, train=path, test=path)
    found = ensemble.models(project, new_share="estimate")["estimate"]
    return dict(found)


if __name__ == "__main__":
    main()
