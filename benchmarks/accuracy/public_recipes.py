"""Public recipes in a few lines each: arrays in, ranked lists out. Nothing of finblend is used here.

Every recipe gets the same embeddings (frozen models, one space each), the same folds and the same stated share of
strangers, and no test answers:

`concat`    L2-normalised embeddings side by side; best photo per individual; threshold from a grid, out-of-fold,
            weighted to the share; rule A.
`mean`      best photo per individual in each model, mean over models; threshold so that as many test photos begin with
            `new_individual` as strangers are expected; rule B.
`isotonic`  best photo per individual in each model as P(same), isotonic regression out-of-fold; mean over models;
            threshold from a grid, out-of-fold, weighted to the share; rule B.

Rule A puts `new_individual` first where the best score is below the threshold, else second; rule B makes it one more
individual with the threshold as its score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NEW, NOBODY = -2, -1
PLACES = 5
GRID = 1000
# P(same) is fitted on each query's nearest individuals; those further away are the same one too rarely to matter
NEAREST = 100
NAMES = ("concat", "mean", "isotonic")


@dataclass(frozen=True)
class Material:
    """What a recipe is given.

    Attributes
    ----------
    train, test : list of (n, d) and (m, d) float arrays
        One a model.
    labels : (n,) int array
        Individual of each train photo, 0 to the number of individuals - 1.
    folds : (n,) int array
    share : float
        Of strangers expected in test.
    """

    train: Sequence[np.ndarray]
    test: Sequence[np.ndarray]
    labels: np.ndarray
    folds: np.ndarray
    share: float


@dataclass(frozen=True)
class Ranked:
    """Individuals by falling score: label (`NOBODY` where the gallery has no more) and score (-inf there)."""

    label: np.ndarray
    score: np.ndarray

    def hiding(self, label: np.ndarray) -> Ranked:
        """The same without one individual a row, one place shorter."""
        order = np.argsort(self.label == label[:, None], axis=1, kind="stable")[:, :-1]
        return Ranked(np.take_along_axis(self.label, order, 1), np.take_along_axis(self.score, order, 1))

    def take(self, rows: np.ndarray) -> Ranked:
        """Some rows."""
        return Ranked(self.label[rows], self.score[rows])


@dataclass(frozen=True)
class Fitted:
    """A recipe's rankings, six places each (one individual may be hidden), and how its threshold is found.

    Attributes
    ----------
    out_of_fold, test : Ranked
    rule : {"A", "B"}
    aims_at_share : bool
        Whether the threshold lets the wanted share of photos begin with `NEW`; else it is the grid's best.
    """

    out_of_fold: Ranked
    test: Ranked
    rule: str
    aims_at_share: bool = False

    def threshold(self, ranked: Ranked, truth: np.ndarray, weights: np.ndarray, share: float) -> float:
        """From out-of-fold photos (`truth` is `NEW` for strangers) weighted to the share."""
        if self.aims_at_share:
            return share_threshold(ranked.score[:, 0], weights, share)
        return grid_threshold(ranked, truth, weights, self.rule)


def recipe(name: str, material: Material) -> Fitted:
    """Rankings of one of `NAMES`."""
    if name == "concat":
        blocks = [[unit(a) for a in split] for split in (material.train, material.test)]
        train, test = (np.concatenate(b, axis=1) / np.float32(np.sqrt(len(b))) for b in blocks)
        return Fitted(*(ranked(s) for s in scores_of(train, test, material)), rule="A")
    models = [scores_of(unit(a), unit(b), material) for a, b in zip(material.train, material.test, strict=True)]
    means = [np.mean([model[split] for model in models], axis=0) for split in (0, 1)]
    if name == "mean":
        return Fitted(ranked(means[0]), ranked(means[1]), rule="B", aims_at_share=True)
    weights = share_weights(truth_of(material.labels, material.folds) == NEW, material.share)
    same = [calibrated(*model, material.labels, material.folds, weights) for model in models]
    # many pairs share one step of P(same): the mean cosine orders them
    both = [np.mean([model[split] for model in same], axis=0) + 1e-6 * means[split] for split in (0, 1)]
    return Fitted(ranked(both[0]), ranked(both[1]), rule="B")


def answers(fitted: Fitted, material: Material) -> np.ndarray:
    """(m, 5) labels for the test photos; `NEW` for somebody new."""
    if fitted.aims_at_share:
        threshold = share_threshold(fitted.test.score[:, 0], np.ones(len(fitted.test.score)), material.share)
    else:
        truth = truth_of(material.labels, material.folds)
        weights = share_weights(truth == NEW, material.share)
        threshold = fitted.threshold(fitted.out_of_fold, truth, weights, material.share)
    return lists(fitted.test, fitted.rule, threshold)


def unit(array: np.ndarray) -> np.ndarray:
    """(n, d) float32 rows of length 1; a row of zeros stays."""
    array = np.asarray(array, dtype=np.float32)
    return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), np.float32(1e-12))


def truth_of(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Out-of-fold truth: the label, or `NEW` where no other fold has a photo of the individual."""
    in_fold = np.zeros((labels.max() + 1, folds.max() + 1), dtype=bool)
    in_fold[labels, folds] = True
    return np.where(in_fold.sum(axis=1)[labels] > 1, labels, NEW)


def share_weights(new: np.ndarray, share: float) -> np.ndarray:
    """One weight a photo so that strangers have the wanted share; they sum to 1."""
    return np.where(new, share / max(new.sum(), 1), (1 - share) / max((~new).sum(), 1))


def scores_of(train: np.ndarray, test: np.ndarray, material: Material) -> tuple[np.ndarray, np.ndarray]:
    """Best cosine per individual: (n, individuals) out-of-fold, -inf where the other folds lack it, and (m, ...)."""
    out = np.empty((len(train), material.labels.max() + 1), dtype=np.float32)
    for fold in np.unique(material.folds):
        held_out = material.folds == fold
        out[held_out] = best_photos(train[held_out], train[~held_out], material.labels[~held_out], out.shape[1])
    return out, best_photos(test, train, material.labels, out.shape[1])


def best_photos(query: np.ndarray, gallery: np.ndarray, labels: np.ndarray, individuals: int) -> np.ndarray:
    """(n, individuals) highest product with any photo of each individual; -inf for those without one."""
    order = np.argsort(labels, kind="stable")
    there, starts = np.unique(labels[order], return_index=True)
    out = np.full((len(query), individuals), -np.inf, dtype=np.float32)
    out[:, there] = np.maximum.reduceat(query @ gallery[order].T, starts, axis=1)
    return out


def ranked(scores: np.ndarray, places: int = PLACES + 1) -> Ranked:
    """The best individuals of each row; equal scores by label."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :places]
    score = np.take_along_axis(scores, order, axis=1)
    return Ranked(np.where(np.isfinite(score), order, NOBODY), score)


def calibrated(
    out_of_fold: np.ndarray, test: np.ndarray, labels: np.ndarray, folds: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as P(same); a fold's own by what was fitted on the other folds, test by all."""

    def fitted(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.isotonic import IsotonicRegression

        score, same = near[rows], nearest[rows] == labels[rows, None]
        finite = np.isfinite(score)
        weight = np.broadcast_to(weights[rows, None], score.shape)[finite]
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score[finite], same[finite], weight)
        steps = model.X_thresholds_, model.y_thresholds_
        # what `model.predict` does, for arrays of any shape
        return lambda s: np.where(np.isfinite(s), np.interp(s, *steps), -np.inf)

    nearest = np.argpartition(-out_of_fold, min(NEAREST, out_of_fold.shape[1]) - 1, axis=1)[:, :NEAREST]
    near = np.take_along_axis(out_of_fold, nearest, axis=1)
    cross = np.empty(out_of_fold.shape)
    for fold in np.unique(folds):
        held_out = folds == fold
        cross[held_out] = fitted(np.flatnonzero(~held_out))(out_of_fold[held_out])
    return cross, fitted(np.arange(len(labels)))(test)


def lists(ranking: Ranked, rule: str, threshold: float) -> np.ndarray:
    """(n, 5) labels with `NEW` in its place."""
    label, score = ranking.label[:, :PLACES], ranking.score[:, :PLACES]
    if rule == "A":
        place = np.where(score[:, 0] < threshold, 0, 1)
    else:
        place = (score >= threshold).sum(axis=1)
    place = np.minimum(place, (label != NOBODY).sum(axis=1))
    out = np.empty((len(label), PLACES + 1), dtype=np.int64)
    for row, (names, at) in enumerate(zip(label, place, strict=True)):
        out[row] = np.insert(names, at, NEW)
    return out[:, :PLACES]


def precisions(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) 1 / place of the truth among the five, 0 where it is not there."""
    hit = answers == truth[:, None]
    return np.where(hit.any(axis=1), 1.0 / (hit.argmax(axis=1) + 1.0), 0.0)


def grid_threshold(ranking: Ranked, truth: np.ndarray, weights: np.ndarray, rule: str, steps: int = GRID) -> float:
    """The threshold of a fine grid over the best scores with the highest weighted MAP@5; the lowest of equals."""
    best = ranking.score[:, 0][np.isfinite(ranking.score[:, 0])]
    grid = np.unique(np.concatenate([np.linspace(best.min(), best.max(), steps), np.quantile(best, _even(steps))]))
    return float(max(grid, key=lambda t: weights @ _at(ranking, truth, rule, t)))


def _even(steps: int) -> np.ndarray:
    return np.linspace(0, 1, steps)


def _at(ranking: Ranked, truth: np.ndarray, rule: str, threshold: float) -> np.ndarray:
    """`precisions(lists(ranking, rule, threshold), truth)` without making the lists."""
    label, score = ranking.label[:, :PLACES], ranking.score[:, :PLACES]
    hit = label == truth[:, None]
    rank = np.where(hit.any(axis=1), hit.argmax(axis=1), PLACES)
    names = (label != NOBODY).sum(axis=1)
    place = (score[:, 0] >= threshold).astype(int) if rule == "A" else (score >= threshold).sum(axis=1)
    place = np.minimum(place, names)
    at = np.where(truth == NEW, place, rank + (rank >= place))
    return np.where((at < PLACES) & ((truth == NEW) | (rank < PLACES)), 1.0 / (at + 1.0), 0.0)


def share_threshold(best: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The threshold below which the wanted share of the best scores lies."""
    order = np.argsort(best, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    count = int(np.searchsorted(below, share * (1 + 1e-12), side="right"))
    return float(best[order][min(count, len(best) - 1)])


def nested_precisions(
    fitted: Fitted, material: Material, rows: np.ndarray, hidden: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Precision of out-of-fold photos, each fold at the threshold of the others.

    Parameters
    ----------
    fitted : Fitted
    material : Material
    rows : (n,) int array
        The scored photos.
    hidden : (m,) int array
        Those that are scored again as strangers, their individual hidden.
    weights : (n + m,) float array

    Returns
    -------
    (n + m,) float array
    """
    as_is, as_stranger = fitted.out_of_fold.take(rows), fitted.out_of_fold.take(hidden).hiding(material.labels[hidden])
    both = Ranked(
        np.concatenate([as_is.label[:, :PLACES], as_stranger.label]),
        np.concatenate([as_is.score[:, :PLACES], as_stranger.score]),
    )
    truth = np.append(truth_of(material.labels, material.folds)[rows], np.full(len(hidden), NEW))
    fold = material.folds[np.append(rows, hidden)]
    out = np.empty(len(truth))
    for number in np.unique(fold):
        held_out = fold == number
        threshold = fitted.threshold(both.take(~held_out), truth[~held_out], weights[~held_out], material.share)
        out[held_out] = precisions(lists(both.take(held_out), fitted.rule, threshold), truth[held_out])
    return out
