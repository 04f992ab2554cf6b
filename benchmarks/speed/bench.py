"""Ratios against peers in one run: neighbours, trials, the whole job, and how they grow.

    make bench                                        a small world drawn here, a few minutes
    make bench ARGS="--scale 1.0"                     Happywhale's size
    make bench ARGS="--world FOLDER --trials 500"     a folder of whaleworld.py, frozen or per fold
    make bench ARGS="--only knn,trial"                some of: knn, trial, whole, growth

How the job grows is measured on small worlds unless told otherwise. From a tenth of Happywhale to ten times it (510,000
photos) with 256 numbers a model, so that 4 models fit into memory and disk, and up to its size with their own widths:

    make bench ARGS="--only growth --growth-models 4 --growth-scales 0.1,0.3,1,3,10,0.1,0.3,1
                     --growth-width 256,256,256,256,256,0,0,0"

Times are of this machine in this minute; the ratios are what counts. What is measured is put into
benchmarks/results.json in place of what this machine measured before, and docs/benchmarks.md is written from that file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.measuring import machine
from benchmarks.common.world import World, draw_world
from benchmarks.speed import growth, knn, trial
from benchmarks.speed.page import page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results.json"
PARTS = ("knn", "trial", "whole", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="of the drawn world; 1.0 is Happywhale's size")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--world", type=Path, help="a folder that whaleworld.py wrote, instead of a drawn world")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nested-trials", type=int, default=20, help="per fold")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sample", type=int, default=2048, help="queries that slow peers are measured on")
    parser.add_argument("--only", default="knn,trial,whole", help="comma-separated parts")
    parser.add_argument("--growth-scales", default="0.02,0.05,0.1")
    parser.add_argument("--growth-models", default="2,4")
    parser.add_argument("--growth-width", default="0", help="numbers of each model, one or one a scale; 0: their own")
    parser.add_argument("--scratch", type=Path, default=ROOT / "build", help="where worlds and projects are put")
    options = parser.parse_args()
    only = options.only.split(",")
    if set(only) - set(PARTS):
        parser.error(f"--only: must be among {', '.join(PARTS)}")
    options.scratch.mkdir(exist_ok=True)
    runs: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    own = next((run for run in runs if run["machine"] == machine()), {"machine": machine()})
    runs = [own, *(run for run in runs if run is not own)]
    if set(only) - {"growth"}:
        with tempfile.TemporaryDirectory(dir=options.scratch) as place:
            world = (
                World(options.world) if options.world else draw_world(Path(place) / "w", options.scale, options.models)
            )
            name = str(options.world.name) if options.world else f"drawn, scale {options.scale}"
            _measure(world, name, Path(place), options, only, runs)
    if "growth" in only:
        scales, models, widths = (
            [kind(text) for text in value.split(",")]
            for kind, value in (
                (float, options.growth_scales),
                (int, options.growth_models),
                (int, options.growth_width),
            )
        )
        if len(widths) not in (1, len(scales)):
            parser.error(f"--growth-width: one number, or one for each of the {len(scales)} scales")
        widths = widths * len(scales) if len(widths) == 1 else widths
        rows: list[dict[str, Any]] = []
        for row in growth.measure(scales, models, widths, options.scratch):
            print(row, flush=True)
            rows.append(row)
            # an interrupted grid keeps the sizes that are done
            own["growth"] = {"rows": rows, "exponents": growth.exponents(rows)}
            growth.plot(rows, ROOT / "docs" / "benchmarks-growth.svg")
            _save(runs)
    print(page(runs))


def _measure(
    world: World, name: str, place: Path, options: argparse.Namespace, only: list[str], runs: list[dict[str, Any]]
) -> None:
    results = runs[0]
    if "knn" in only:
        with np.load(next(iter(world.models.values()))[0], allow_pickle=False) as file:
            query, gallery = (file[f"{split}_embedding"].astype(np.float32) for split in ("test", "train"))
        results["knn"] = {"world": name, **knn.measure(query, gallery, 100, options.rounds, options.sample)}
        _save(runs)
    if "whole" in only or "trial" in only:
        project = world.project(place / "P")
        if "whole" in only:
            command = [sys.executable, "-m", "benchmarks.speed.pipeline", str(project)]
            command += [str(options.trials), str(options.nested_trials)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            measured = json.loads(printed.splitlines()[-1])
            measured["test"] = world.score(project / "submission.csv")
            key = "whole_per_fold" if world.per_fold else "whole"
            results[key] = {"world": name, "photos": len(_images(world)), "models": len(world.models), **measured}
            _save(runs)
        if "trial" in only:
            results["trial"] = {"world": name, **trial.measure(project, 9, options.sample)}
            _save(runs)


def _images(world: World) -> np.ndarray:
    with np.load(next(iter(world.models.values()))[0], allow_pickle=False) as file:
        return np.asarray(file["train_image"])


def _save(runs: list[dict[str, Any]]) -> None:
    runs[0]["date"] = f"{date.today()}"
    RESULTS.write_text(json.dumps(runs, indent=2) + "\n")
    (ROOT / "docs" / "benchmarks.md").write_text(page(runs))


if __name__ == "__main__":
    main()
