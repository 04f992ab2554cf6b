"""Which exponent of the gallery mix fits a winning team's answers on Happywhale's real test photos best.

    python -m benchmarks.accuracy.gallery_exponent TRAIN.csv WINNER_PSEUDO_LABELS.csv

For each exponent: the Kullback-Leibler divergence from the winner's shares of gallery-photo classes to those that
photos in proportion to (gallery photos) ** exponent would have. `cv.mix.EXPONENT` is the best one.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from cv.mix import EXPONENT
from cv.raking import EDGES


def main(train_csv: str, answers_csv: str) -> None:
    counts = pl.read_csv(train_csv).group_by("individual_id").len()
    answers = pl.read_csv(answers_csv).join(counts, on="individual_id")
    shares = _shares(answers["len"].to_numpy(), np.ones(answers.height))
    photos = counts["len"].to_numpy()
    for exponent in np.arange(0.6, 1.11, 0.1):
        wanted = _shares(photos, photos**exponent)
        divergence = float((shares * np.log(shares / wanted)).sum())
        mark = "  <- default" if abs(exponent - EXPONENT) < 1e-9 else ""
        print(f"exponent {exponent:.1f}  divergence {divergence:.4f}{mark}")


def _shares(photos: np.ndarray, weights: np.ndarray) -> np.ndarray:
    photos_of_class = np.bincount(
        np.searchsorted(EDGES, photos, side="right") - 1, weights=weights, minlength=len(EDGES)
    )
    return photos_of_class / photos_of_class.sum()


if __name__ == "__main__":
    main(*sys.argv[1:3])
