"""MAP@5 exactly as Kaggle scores it, per photo and as a mean over a stated mix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cv.errors import FinblendError

MAX_NAMES = 5


def average_precision(names: Sequence[str], truth: str) -> float:
    """Score one ranked list: 1 / (place of the first occurrence of the truth), 0 below place 5.

    With one right answer a photo, average precision at 5 is the reciprocal rank cut at 5. Repeats take up places,
    and only the first occurrence counts. Source: the evaluation page of Kaggle's Happywhale competition.

    Parameters
    ----------
    names : sequence of str
        Ranked names, best first; those after the fifth do not count.
    truth : str

    Returns
    -------
    float in [0, 1]

    Examples
    --------
    >>> average_precision(["a", "b", "c"], "b"), average_precision(["a", "a", "b"], "b"), average_precision(["a"], "z")
    (0.5, 0.3333333333333333, 0.0)
    """
    for place, name in enumerate(names[:MAX_NAMES], start=1):
        if name == truth:
            return 1.0 / place
    return 0.0


def average_precisions(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Score many ranked lists at once.

    Parameters
    ----------
    predicted : (n, m) int array
        Ranked labels, best first; pad short lists with a label that is nobody's truth.
    truth : (n,) int array

    Returns
    -------
    (n,) float64 array in [0, 1]

    Examples
    --------
    >>> average_precisions(np.array([[3, 7], [7, 3]]), np.array([3, 3]))
    array([1. , 0.5])
    """
    hits = predicted[:, :MAX_NAMES] == truth[:, None]
    if hits.shape[1] == 0:
        return np.zeros(len(truth))
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1.0), 0.0)


def map5(predicted: Sequence[Sequence[str]], truth: Sequence[str], weights: Sequence[float] | None = None) -> float:
    """Mean average precision at 5 over photos, plain or weighted.

    Parameters
    ----------
    predicted : sequence of sequences of str
        One ranked list a photo.
    truth : sequence of str
        The right answer of each photo; "new_individual" for strangers.
    weights : sequence of float, optional
        One weight >= 0 a photo, for instance from `cv.weighting`.

    Examples
    --------
    >>> map5([["a", "b"], ["b", "a"]], ["a", "a"])
    0.75
    >>> map5([["a", "b"], ["b", "a"]], ["a", "a"], weights=[3, 1])
    0.875
    """
    if len(predicted) != len(truth) or not len(truth):
        raise FinblendError(f"map5: needs one list a truth and at least one, got {len(predicted)} and {len(truth)}")
    if weights is not None:
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (len(truth),) or not (given >= 0).all() or not 0 < given.sum() < np.inf:
            raise FinblendError("map5: weights >= 0, one a photo and not all 0, must hold")
    scores = [average_precision(names, answer) for names, answer in zip(predicted, truth, strict=True)]
    return float(np.average(scores, weights=weights))
