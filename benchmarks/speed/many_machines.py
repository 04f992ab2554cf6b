"""What Ray's workers gain: photos embedded, nested folds tuned, evidence made by 1 and 2 workers here, in turns.

    python -m benchmarks.speed.many_machines [--individuals 60] [--scale 0.02] [--trials 20] [--evidence-scale 0.1]
        [--rounds 3] [--only embed nested evidence]

Seconds of CPU are those of the driver (the serial part: it waits for items or works alone) and of all items together;
they hardly depend on who else uses the machine. Seconds by the clock are the least of the rounds. Ray's start is told
apart, and libraries and compiled loops are loaded before. What 16 workers reach at best is Amdahl's arithmetic (1967):
the driver's seconds, and those of the items in as many rounds as 16 workers need; how many times that is faster is told
of this process alone, which does the same work but for evidence: there it takes the product of two train photos once,
where blocks take it twice.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ensemble
from benchmarks.common.world import draw_world
from cv.left_out import ENCOUNTER
from cv.mix import Mix
from ensemble.demo.painter import paint_catalogue
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.engine.on_ray import OnRay
from ensemble.project.pseudo_rounds import gallery_of
from ensemble.protocol.setup import read_setup
from ensemble.registry.models import require_models
from ensemble.retrieval.retriever import Retriever
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


def evidence(project: Path, engine: Engine) -> None:
    """Of both query sets, out of nothing, with models that are not whitened."""
    opened = ensemble.Project.open(project)
    shutil.rmtree(opened.cache, ignore_errors=True)
    models = require_models(opened)
    retriever = Retriever(
        project=opened, models=models, whitening=dict.fromkeys(models, "none"), leave_out=ENCOUNTER,
        gallery=gallery_of(opened), engine=engine,
    )  # fmt: skip
    retriever.out_of_fold()
    retriever.of_test()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--individuals", type=int, default=60)
    parser.add_argument("--scale", type=float, default=0.02)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--evidence-scale", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=("embed", "nested", "evidence"))
    options = parser.parse_args()
    import ray

    clock: dict[tuple[str, int], float] = {}
    spent: dict[str, tuple[float, list[float]]] = {}
    starts: list[float] = []
    alone: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        works: dict[str, Callable[[], None]] = {}
        only = options.only or ("embed", "nested", "evidence")
        if "embed" in only:
            painted = paint_catalogue(folder / "painted", individuals=options.individuals)
            tables = {"train": painted.folder / "train.csv", "test": painted.folder / "sample_submission.csv"}
            ensemble.init(folder / "P", **tables)
            photos = len(list((painted.folder / "photos").iterdir()))
            works[f"embed {photos} photos"] = lambda: embed(folder / "P", painted)
        if "nested" in only:
            project = draw_world(folder / "world", options.scale, 3, 0).project(folder / "W")
            train = ensemble.Project.open(project).catalogue.train.height
            works[f"nested folds of {train} photos"] = lambda: nested(project, options.trials)
        if "evidence" in only:
            larger = draw_world(folder / "larger", options.evidence_scale, 3, 0).project(folder / "E")
            catalogue = ensemble.Project.open(larger).catalogue
            name = f"evidence of {catalogue.train.height} + {catalogue.test.height} photos"
            works[name] = lambda: evidence(larger, Counted("local"))
            for _ in range(2):
                start = time.process_time()
                evidence(larger, HERE)
                alone[name] = time.process_time() - start
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
        "| work | this process, CPU s | items | driver, CPU s | items, CPU s | 1 worker, s | 2 workers, s | times "
        "| 16 at best, s | times |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for work, (driver, items) in spent.items():
        one, two, total = clock[work, 1], clock[work, 2], sum(items)
        many = driver + total * math.ceil(len(items) / MANY) / len(items)
        here, times = alone.get(work, driver + total), f"{one / two:.2f}"
        cells = [f"{here:.1f}", len(items), *(f"{value:.1f}" for value in (driver, total, one, two)), times]
        print("|", " | ".join(map(str, [work, *cells, f"{many:.1f}", f"{here / many:.1f}"])), "|")


if __name__ == "__main__":
    main()
