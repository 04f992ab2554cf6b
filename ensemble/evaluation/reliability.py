"""Do probabilities hold what they say? Bins of equal weight, with what came true and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from postproc.calibration.calibration import bins_of

BINS = 12
# 97.5th percentile of the normal distribution
_SURE = 1.959964


@dataclass(frozen=True)
class Bin:
    """Photos of like probability.

    Attributes
    ----------
    share : float
        Of all weight.
    probability : float
        Their mean probability.
    right : float
        Share of them for which it came true.
    low, high : float
        95 % interval of `right`.
    """

    share: float
    probability: float
    right: float
    low: float
    high: float


def reliability(
    probability: np.ndarray, right: np.ndarray, weights: np.ndarray, owner: np.ndarray, bins: int = BINS
) -> list[Bin]:
    """Bins of equal weight, by rising probability.

    Photos of one individual are not independent: intervals (Wilson 1927) count all photos of an individual in a bin as
    one, and individuals of unequal weight as by Kish 1965, (sum w)^2 / sum w^2. That errs on the wide side.

    Parameters
    ----------
    probability : (n,) float array
    right : (n,) bool array
    weights : (n,) float array >= 0, summing to more than 0
    owner : (n,) int array
        The individual on each photo.
    bins : int
        At most so many; photos of equal probability are in one bin.

    Examples
    --------
    >>> [one] = reliability(np.full(4, 0.5), np.array([1, 1, 0, 0]) > 0, np.ones(4), np.arange(4))
    >>> one.right, round(one.low, 3), round(one.high, 3)
    (0.5, 0.15, 0.85)
    """
    sat = weights > 0
    probability, right, owner = probability[sat], right[sat], owner[sat]
    share = weights[sat] / weights[sat].sum()
    cell = bins_of(probability, share, bins)
    found = []
    for one in np.unique(cell).tolist():
        here = cell == one
        own = share[here]
        total = float(own.sum())
        mean, came = float(own @ probability[here]) / total, min(1.0, float(own @ right[here]) / total)
        individuals = np.bincount(np.unique(owner[here], return_inverse=True)[1], weights=own)
        low, high = wilson(came, total**2 / float(individuals @ individuals))
        found.append(Bin(total, mean, came, low, high))
    return found


def wilson(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share that was found among n."""
    middle = (share + _SURE**2 / (2 * n)) / (1 + _SURE**2 / n)
    half = _SURE * float(np.sqrt(share * (1 - share) / n + _SURE**2 / (4 * n * n))) / (1 + _SURE**2 / n)
    # it holds the share itself, which at 0 and 1 the last bits would leave outside
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
