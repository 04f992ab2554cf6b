"""How near `--new-share estimate` comes on drawn worlds whose share of strangers is known.

    python -m benchmarks.accuracy.new_share whaleworld.py [--scale 0.04] [--models 3] [--seeds 31,32,35]
        [--shares 0.05,0.2,0.3] [--folds 5] [--per-fold]

The answers judge; the estimate is made without them, from equal weights.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import ensemble
from benchmarks.common.world import run_whaleworld
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
                place, drawn = Path(folder), (options.scale, options.models, seed, options.per_fold)
                world = run_whaleworld(options.whaleworld, place / "world", *drawn, "--new-share", str(share))
                project = world.project(place / "project", folds=options.folds)
                estimate = ensemble.models(project, new_share="estimate").estimate
                assert estimate is not None
                true = float(np.mean([answer == NEW_INDIVIDUAL for answer in world.answers]))
            missed.append(estimate.share - true)
            errors.append(estimate.error)
            print(
                f"seed {seed}: true {true:.3f}, estimated {estimate.share:.3f}, "
                f"standard error {estimate.error:.3f}, rounds {estimate.rounds}",
                flush=True,
            )
    print(
        f"missed by {np.mean(missed):+.3f} on average, {np.sqrt(np.mean(np.square(missed))):.3f} root mean square; ",
        end="",
    )
    print(f"mean standard error {np.mean(errors):.3f}")


if __name__ == "__main__":
    main()
