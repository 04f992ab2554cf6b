"""WildFusion's recipe in a few lines (Cermak et al. 2024, arXiv:2408.12934): calibrated scores of pairs, their mean.

Each source says something of a query photo and a gallery photo: each network its cosine, marks their votes and their
verified inliers (0 where a pair has none). Isotonic regression makes each a probability of the same individual, fitted
on all pairs of the other folds' queries. Of the `SHORTLIST` photos that the best network brings up (best by
out-of-fold top-1 of its own) the mean over the sources counts, best photo per individual; somebody new by a threshold
from a grid, weighted to the share, rule B of `public_recipes`. Nothing of finblend is used here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.accuracy.public_recipes import Fitted, Material, ranked, unit

SHORTLIST = 50
# so that of pairs on one step of P(same) the more similar counts
_TIE = 1e-6

Splits = tuple[np.ndarray, np.ndarray]


def wildfusion(material: Material, pair_scores: Sequence[Splits], shortlist: int | None = SHORTLIST) -> Fitted:
    """Rankings of the recipe.

    Parameters
    ----------
    material : Material
    pair_scores : sequence of ((n, n) array, (m, n) array)
        What each further source says of train and test queries and train photos.
    shortlist : int, optional
        Photos a query; None: every photo counts.
    """
    folds, labels = material.folds, material.labels
    met = folds[:, None] != folds
    cosines = [_cosines(*splits) for splits in zip(material.train, material.test, strict=True)]
    best = max(cosines, key=lambda cosine: _top1(np.where(met, cosine[0], -np.inf), labels))
    same = [calibrated_pairs(*source, labels, folds) for source in (*cosines, *pair_scores)]
    mean = [np.mean([source[split] for source in same], axis=0) for split in (0, 1)]
    people = labels.max() + 1
    rankings = []
    for total, first, usable in ((mean[0], best[0], met), (mean[1], best[1], np.ones_like(best[1], dtype=bool))):
        score = np.where(usable, total + _TIE * np.mean([c[len(rankings)] for c in cosines], axis=0), -np.inf)
        if shortlist is not None and shortlist < len(labels):
            kept = np.argpartition(-np.where(usable, first, -np.inf), shortlist, axis=1)[:, :shortlist]
            chosen = np.zeros(score.shape, dtype=bool)
            np.put_along_axis(chosen, kept, True, axis=1)
            score = np.where(chosen, score, -np.inf)
        rankings.append(ranked(_of_individuals(score, labels, people)))
    return Fitted(*rankings, rule="B")


def calibrated_pairs(train: np.ndarray, test: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> Splits:
    """P(same) of pairs: a fold's queries by what was fitted on the other folds', test by all."""
    from sklearn.isotonic import IsotonicRegression

    def fitted(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = queries[:, None] & (folds[:, None] != folds)
        same = labels[:, None] == labels
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(train[pairs], same[pairs])
        return model.X_thresholds_, model.y_thresholds_

    out = np.zeros(train.shape)
    for fold in np.unique(folds):
        out[folds == fold] = np.interp(train[folds == fold], *fitted(folds != fold))
    return out, np.interp(test, *fitted(np.ones(len(folds), dtype=bool)))


def _cosines(train: np.ndarray, test: np.ndarray) -> Splits:
    gallery = unit(train)
    return gallery @ gallery.T, unit(test) @ gallery.T


def _top1(score: np.ndarray, labels: np.ndarray) -> float:
    return float((labels[score.argmax(axis=1)] == labels).mean())


def _of_individuals(score: np.ndarray, labels: np.ndarray, people: int) -> np.ndarray:
    """(n, people) score of each individual's best photo."""
    out = np.full((len(score), people), -np.inf)
    order = np.argsort(labels, kind="stable")
    there, starts = np.unique(labels[order], return_index=True)
    out[:, there] = np.maximum.reduceat(score[:, order], starts, axis=1)
    return out
