"""The plan of a matching at Happywhale's size: a drawn catalogue whose photos are links to those of a folder.

    python -m benchmarks.speed.marks_plan --images FOLDER [--scale 1.0] [--sample 100] [--keypoints 400]

Photos of individuals and species are counted as in `benchmarks.common.world`; there are no models, so that as many
photos are shortlisted by marks as models and marks bring up together.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from benchmarks.common.measuring import machine
from benchmarks.common.world import draw_world
from ensemble.cli import main as finblend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--keypoints", type=int, default=400)
    parser.add_argument("--shortlist", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        world = draw_world(Path(place) / "w", options.scale, 0)
        photos = Path(place) / "photos"
        photos.mkdir()
        files = sorted(options.images.resolve().iterdir())
        tables = [pl.read_csv(world.folder / name)["image"] for name in ("train.csv", "sample_submission.csv")]
        names = pl.concat(tables).to_list()
        for name, file in zip(names, np.random.default_rng(0).integers(0, len(files), len(names)), strict=True):
            (photos / name).symlink_to(files[file])
        project = Path(place) / "P"
        ensemble.init(project, train=world.folder / "train.csv", test=world.folder / "sample_submission.csv", folds=5)
        print(f"{machine()}; {len(tables[0])} train and {len(tables[1])} test photos", flush=True)
        words = ["match", project, "marks", "--images", photos, "--sample", options.sample]
        words += ["--keypoints", options.keypoints, "--shortlist", 2 * options.shortlist]
        raise SystemExit(finblend([str(word) for word in words]))


if __name__ == "__main__":
    main()
