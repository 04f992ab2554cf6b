"""What Ray's workers gain: photos embedded and nested folds tuned by 1 and 2 workers on this machine, in turns.

    python -m benchmarks.speed.many_machines [--individuals 60] [--scale 0.02] [--trials 20] [--rounds 3]

Seconds of CPU are those of the driver (the serial part: it waits for items or works alone) and of all items together;
they hardly depend on who else uses the machine. Seconds by the clock are the least of the rounds. Ray's start is told
apart, and libraries and compiled loops are loaded before. What 16 workers reach at best is Amdahl's arithmetic (1967):
the driver's seconds, and those of the items in as many rounds as 16 workers need.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ensemble
from benchmarks.common.world import draw_world
from cv.mix import Mix
from ensemble.demo.painter import paint_catalogue
from ensemble.engine.on_ray import OnRay
from ensemble.protocol.setup import read_setup
from ensemble.tuning.nested import nested_score

WORKERS = (1, 2)
MANY = 16


def counted(work: Any, item: Any, progress: Any) -> tuple[Any, float]:
    """What work gives, and the seconds of CPU that it took."""
    start = time.process_time()
    return work(item, progress), time.process_time() - start


class Counted(OnRay):
    """Ray, with the seconds of its items and their number."""

    cpu: ClassVar[list[float]] = []

    def map(self, work: Any, items: Any, **options: Any) -> Any:
        for result, seconds in super().map(partial(counted, work), items, **options):
            self.cpu.append(seconds)
            yield result


def embed(folder: Path, painted: Any) -> None:
    ensemble.embed(
        folder, "lite0", backbone="timm:tf_efficientnet_lite0", weights="random", frozen=True, replace=True,
        images=[painted.folder / "photos"], precision="float32", batch_size=8, device="cpu", engine=Counted("local"),
    )  # fmt: skip


def nested(project: Path, trials: int) -> None:
    setup = read_setup(ensemble.Project.open(project), Mix(0.112))
    nested_score(setup, trials=trials, engine=Counted("local"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--individuals", type=int, default=60)
    parser.add_argument("--scale", type=float, default=0.02)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import ray

    clock: dict[tuple[str, int], float] = {}
    spent: dict[str, tuple[float, list[float]]] = {}
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        painted = paint_catalogue(folder / "painted", individuals=options.individuals)
        tables = {"train": painted.folder / "train.csv", "test": painted.folder / "sample_submission.csv"}
        ensemble.init(folder / "P", **tables)
        project = draw_world(folder / "world", options.scale, 3, 0).project(folder / "W")
        train = ensemble.Project.open(project).catalogue.train.height
        photos = len(list((painted.folder / "photos").iterdir()))
        works = {
            f"embed {photos} photos": lambda: embed(folder / "P", painted),
            f"nested folds of {train} photos": lambda: nested(project, options.trials),
        }
        for turn in range(options.rounds):
            for workers in WORKERS:
                start = time.perf_counter()
                ray.init(
                    address="local", num_cpus=workers, include_dashboard=False, logging_level="ERROR",
                    log_to_driver=False, object_store_memory=200_000_000,
                )  # fmt: skip
                starts.append(time.perf_counter() - start)
                for work, done in works.items():
                    done()
                    Counted.cpu.clear()
                    start, used = time.perf_counter(), time.process_time()
                    done()
                    took, used = time.perf_counter() - start, time.process_time() - used
                    clock[work, workers] = min(took, clock.get((work, workers), math.inf))
                    if workers == 1 and (turn == 0 or used + sum(Counted.cpu) < spent[work][0] + sum(spent[work][1])):
                        spent[work] = used, list(Counted.cpu)
                ray.shutdown()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; Ray's start {min(starts):.1f} s")
    print(
        "| work | items | driver, CPU s | items, CPU s | 1 worker, s | 2 workers, s | times | 16 at best, s | times |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for work, (driver, items) in spent.items():
        one, two, total = clock[work, 1], clock[work, 2], sum(items)
        many = driver + total * math.ceil(len(items) / MANY) / len(items)
        cells = [len(items), *(f"{value:.1f}" for value in (driver, total, one, two)), f"{one / two:.2f}"]
        print("|", " | ".join(map(str, [work, *cells, f"{many:.1f}", f"{(driver + total) / many:.1f}"])), "|")


if __name__ == "__main__":
    main()
