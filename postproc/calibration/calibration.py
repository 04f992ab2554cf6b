"""How far probabilities can be trusted, and what they say of the share of strangers."""

from __future__ import annotations

import numpy as np

from cv.errors import FinblendError

BINS = 15
_EM_STEPS = 10_000


def estimate_new_share(probability: np.ndarray, prior: float) -> float:
    """Estimate the share of strangers among photos from their probabilities of somebody new.

    Expectation maximisation over the prior (Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
    classifier to new a priori probabilities"): each photo's odds of being new are moved from the prior that they were
    fitted with to the share found so far, and the share becomes their mean. The likelihood is concave in the share.

    Parameters
    ----------
    probability : (n,) float array
        Of somebody new.
    prior : float
        Share of strangers that the probabilities were fitted with, in (0, 1).

    Returns
    -------
    float

    Raises
    ------
    FinblendError
        If the prior leaves nothing to estimate.

    Examples
    --------
    Certain answers speak for themselves: three of four photos show somebody new.

    >>> round(estimate_new_share(np.array([1.0, 1.0, 1.0, 0.0]), 0.1), 6)
    0.75
    """
    if not 0 < prior < 1:
        raise FinblendError(f"0 < prior < 1 must hold, but got prior={prior}")
    share = prior
    for _ in range(_EM_STEPS):
        new = probability * share / prior
        known = (1 - probability) * (1 - share) / (1 - prior)
        total = new + known
        # photos that are certain of what the share has ruled out have no say
        moved = float(np.divide(new, total, out=np.full(len(new), share), where=total > 0).mean())
        if abs(moved - share) < 1e-9:
            break
        share = moved
    return moved


def calibration_error(probability: np.ndarray, right: np.ndarray, weights: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal weight.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Parameters
    ----------
    probability : (n,) float array
    right : (n,) bool array
    weights : (n,) float array >= 0, summing to more than 0

    Examples
    --------
    Half of the photos said to be certain are right: the probabilities are off by a half.

    >>> calibration_error(np.ones(4), np.array([True, False, True, False]), np.ones(4))
    0.5
    """
    share = weights / weights.sum()
    gap = np.bincount(bins_of(probability, weights), weights=share * (probability - right), minlength=BINS)
    return float(np.abs(gap).sum())


def bins_of(probability: np.ndarray, weights: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n,) bin of each probability, from 0: of equal weight, as far as equal probabilities stand in one bin.

    Examples
    --------
    >>> bins_of(np.array([0.1, 0.9, 0.2, 0.9]), np.ones(4), 4).tolist()
    [0, 2, 1, 2]
    """
    share = weights / weights.sum()
    at = np.unique(probability, return_inverse=True)[1]
    of_value = np.bincount(at, weights=share)
    before = np.cumsum(of_value) - of_value
    return np.asarray(np.minimum((before * bins + 1e-9).astype(np.int64), bins - 1)[at])
