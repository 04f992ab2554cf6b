"""How the job grows with photos and models: seconds and memory of each step over a grid, exponents, one plot.

Every step of every size runs in a process of its own (`growth_step.py`), so that memory is the step's. Evidence is also
told as a rate, multiplications a second over all pairs that must be compared: models of different widths are then
comparable, which their seconds are not. Exponents are fitted over sizes whose models are of the same width.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.world import WIDTHS, draw_world
from ensemble.project.folder import Project

STEPS = ("evidence", "trial", "second_stage", "decide", "report")
UNITS = {"seconds": "s", "gib": "GiB"}


def measure(scales: Sequence[float], models: Sequence[int], numbers: Sequence[int], scratch: Path) -> Iterator[dict]:
    """Row after row: a size, and seconds and memory of each step.

    Parameters
    ----------
    scales : sequence of float
    models : sequence of int
    numbers : sequence of int
        Numbers of each model's embeddings, one for each scale; 0 for the models' own widths.
    scratch : Path
        Where the worlds are drawn; one at a time is there.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        # loops are compiled once, before anything is measured; smaller worlds miss some of them
        small = draw_world(Path(place) / "world", 0.05, 2, numbers=32).project(Path(place) / "P")
        for step in ("compile", *STEPS):
            _run(small, step)
    for scale, width in zip(scales, numbers, strict=True):
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            world = draw_world(Path(place) / "world", scale, max(models), numbers=width)
            for number in models:
                folder = world.project(Path(place) / f"P{number}", number)
                catalogue = Project.open(folder).catalogue
                row = {
                    "scale": scale,
                    "models": number,
                    "width": width,
                    "numbers": sum([width] * number if width else WIDTHS[:number]),
                    "photos": len(catalogue.labels),
                    "test_photos": len(catalogue.test_images),
                    "individuals": len(catalogue.individuals),
                }
                for step in STEPS:
                    row[step] = _run(folder, step)
                row["rate"] = 1e-9 * multiplications(row) / row["evidence"]["seconds"]
                yield row


def _run(project: Path, step: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.speed.growth_step", str(project), step]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(printed.splitlines()[-1]))


def multiplications(row: dict[str, Any]) -> float:
    """Of comparing every pair of train photos once, and every test photo with every train photo."""
    n, m = row["photos"], row["test_photos"]
    return float((n * (n - 1) / 2 + n * m) * row["numbers"])


def exponents(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Least-squares exponents, what ~ photos^a * models^b, over the rows of each width; none where it has one size."""
    found = []
    for width in sorted({row["width"] for row in rows}):
        some = [row for row in rows if row["width"] == width]
        varied = [key for key in ("photos", "models") if len({row[key] for row in some}) > 1]
        if "photos" not in varied:
            continue
        columns = np.stack([np.ones(len(some)), *(np.log([row[key] for row in some]) for key in varied)], axis=1)
        of_width: dict[str, Any] = {"width": width}
        for step in STEPS:
            for unit in UNITS:
                solved = np.linalg.lstsq(columns, np.log([row[step][unit] for row in some]), rcond=None)[0]
                of_width.setdefault(step, {})[unit] = dict(zip(varied, solved[1:].tolist(), strict=True))
        found.append(of_width)
    return found


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """One SVG: seconds and memory over photos, a colour a step; most models, a line style a width."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "finblend"
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    most = max(row["models"] for row in rows)
    styles = dict(zip(sorted({row["width"] for row in rows}, reverse=True), ("-", "--", ":", "-."), strict=False))
    for axis, (unit, told) in zip(axes, UNITS.items(), strict=True):
        for n, step in enumerate(STEPS):
            for width, style in styles.items():
                line = sorted((r["photos"], r[step][unit]) for r in rows if (r["width"], r["models"]) == (width, most))
                axis.plot(*zip(*line, strict=True), style, color=f"C{n}", marker="o", markersize=3)
        axis.set(xscale="log", yscale="log", xlabel="train photos", ylabel=told)
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3)
    axes[0].set_title(f"seconds, {most} models")
    axes[1].set_title("anonymous memory of the step's process")
    steps = [Line2D([], [], color=f"C{n}", label=step.replace("_", " ")) for n, step in enumerate(STEPS)]
    widths = [Line2D([], [], color="grey", linestyle=style, label=numbers_of(w)) for w, style in styles.items()]
    figure.legend(handles=[*steps, *widths], loc="lower center", ncols=len(steps) + len(widths), fontsize=7)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def numbers_of(width: int) -> str:
    """How wide a model's embeddings are, in words."""
    return f"{width} numbers a model" if width else "own widths"
