"""The curve of a training run: one row an epoch, in a CSV that is written beside and renamed."""

from __future__ import annotations

import csv
from pathlib import Path

from cv.files import written_beside

CURVE_FILE = "curve.csv"


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a curve; none where there is none yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def append_row(path: Path, row: dict[str, float]) -> None:
    """Replace the row of its epoch, and drop those of later ones."""
    rows = [kept for kept in read_curve(path) if kept["epoch"] < row["epoch"]] + [row]
    names = list(dict.fromkeys(name for each in rows for name in each))
    with written_beside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(
            {name: f"{value:g}" if name == "epoch" else f"{value:.6g}" for name, value in each.items()} for each in rows
        )
