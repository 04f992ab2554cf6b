"""Do probabilities hold what they say? Bins of what `decide` wrote against the answers held back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cv.catalogue import NEW_INDIVIDUAL

BINS = 10
# probabilities, and whether each came true
Outcomes = tuple[np.ndarray, np.ndarray]


def outcomes(decisions: Path, answers: Sequence[str]) -> dict[str, Outcomes]:
    """Probabilities and whether they came true, of the first name and of somebody new.

    Somebody new who is not among a photo's five answers has no probability there: it counts as 0, and is less than the
    fifth's.
    """
    table = pl.read_csv(decisions, infer_schema=False)
    first, p_first, p_new = [], [], []
    for row in table.iter_rows(named=True):
        listed = [(row[f"name_{k}"], float(row[f"probability_{k}"])) for k in range(1, 6) if row[f"name_{k}"]]
        name, probability = next((pair for pair in listed if pair[0] != NEW_INDIVIDUAL), (None, 0.0))
        first.append(name)
        p_first.append(probability)
        p_new.append(dict(listed).get(NEW_INDIVIDUAL, 0.0))
    right = np.array([name == answer for name, answer in zip(first, answers, strict=True)])
    new = np.array([answer == NEW_INDIVIDUAL for answer in answers])
    return {"first name": (np.array(p_first), right), "somebody new": (np.array(p_new), new)}


def bins(probability: np.ndarray, right: np.ndarray, n: int = BINS) -> list[dict[str, float]]:
    """Bins of equal width that hold photos: `low, photos, probability` (mean) and `right` (share)."""
    which = np.minimum((probability * n).astype(int), n - 1)
    return [
        {
            "low": k / n,
            "photos": int((which == k).sum()),
            "probability": float(probability[which == k].mean()),
            "right": float(right[which == k].mean()),
        }
        for k in np.unique(which).tolist()
    ]


def calibration_error(rows: Sequence[dict[str, float]]) -> float:
    """Expected calibration error: |probability - right| of each bin, weighted by its photos."""
    photos = np.array([row["photos"] for row in rows], dtype=np.float64)
    gap = np.array([abs(row["probability"] - row["right"]) for row in rows])
    return float(photos @ gap / photos.sum())


def page(tests: Sequence[dict[str, Outcomes]]) -> str:
    """The tables of several tests taken together, as Markdown."""
    out = []
    for statement in tests[0]:
        rows = bins(*(np.concatenate([test[statement][n] for test in tests]) for n in (0, 1)))
        out += [f"P({statement}): calibration error {calibration_error(rows):.4f} on the answers", ""]
        out += ["| from | photos | mean probability | share right |", "|---|---|---|---|"]
        out += [f"| {r['low']:.1f} | {r['photos']} | {r['probability']:.3f} | {r['right']:.3f} |" for r in rows]
        out.append("")
    return "\n".join(out)
