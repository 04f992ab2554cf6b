"""How evidence and trials grow with photos and models: seconds over a grid, exponents, a plot."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.measuring import timed
from benchmarks.common.world import draw_world
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.protocol.setup import setup_of_blend


def measure(scales: list[float], models: list[int], scratch: Path) -> list[dict[str, Any]]:
    """Seconds of evidence (with everything before the first trial) and of one trial."""
    rows = []
    for scale in scales:
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            world = draw_world(Path(place) / "world", scale, max(models))
            for number in models:
                folder = world.project(Path(place) / f"P{number}", number)
                project = Project.open(folder)
                blend = Blend(dict.fromkeys(list(world.models)[:number], 1 / number), mix=Mix(0.112))
                evidence, setup = timed(partial(setup_of_blend, project, blend))
                score = partial(setup.evaluation_set.score, blend)
                score()  # compiles
                trial = min(timed(score)[0] for _ in range(5))
                photos = len(project.catalogue.labels)
                rows.append({"scale": scale, "models": number, "photos": photos, "evidence": evidence, "trial": trial})
                print(rows[-1], flush=True)
                shutil.rmtree(folder)
    return rows


def exponents(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Least-squares exponents: seconds ~ photos^a * models^b."""
    exponents_of = {}
    for what in ("evidence", "trial"):
        columns = [np.ones(len(rows))]
        for key in ("photos", "models"):
            columns.append(np.log([row[key] for row in rows]))
        solved = np.linalg.lstsq(np.stack(columns, axis=1), np.log([row[what] for row in rows]), rcond=None)[0]
        exponents_of[what] = {"photos": float(solved[1]), "models": float(solved[2])}
    return exponents_of


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """One SVG: seconds over photos, a line a number of models."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "finblend"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, what in zip(axes, ("evidence", "trial"), strict=True):
        for number in sorted({row["models"] for row in rows}):
            line = [row for row in rows if row["models"] == number]
            axis.plot([r["photos"] for r in line], [r[what] for r in line], marker="o", label=f"{number} models")
        axis.set(xscale="log", yscale="log", xlabel="train photos", ylabel="seconds", title=what)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
