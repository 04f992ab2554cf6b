"""Angular margins: what they may be, and how they shrink with the photos of an individual."""

from __future__ import annotations

import math

import numpy as np

from cv.errors import FinblendError, shown

# With a margin m, a photo that lies on its own centre has the target cos(m). From pi/2 on that is no better than the
# cosine 0 of a centre chosen at random, and there is nothing left to learn. Below it, the loss also falls all the way
# as the angle closes: the straight piece past theta = pi - m starts below -1 up to m = 2.33.
WIDEST = math.pi / 2


def checked_margin(margin: float | np.ndarray) -> np.ndarray:
    """One margin or many, as float64; refuse what is not in [0, pi/2).

    0 is allowed: a plain softmax over cosines.
    """
    margins = np.asarray(margin, dtype=np.float64)
    bad = ~((margins >= 0.0) & (margins < WIDEST))
    if bad.any():
        values = shown(f"{value:.4g}" for value in np.unique(np.atleast_1d(margins)[np.atleast_1d(bad)]))
        raise FinblendError(f"0 <= margin < pi/2 must hold (radians), but got margin={values}")
    return margins


def margins_by_count(counts: np.ndarray, scale: float, power: float, constant: float) -> np.ndarray:
    """Wider margins for individuals with fewer photos: scale * n ** -power + constant.

    In Happywhale's winning solution (github.com/knshnb/kaggle-happywhale-1st-place, config/default.yaml, found by
    Optuna), margin_coef_id = 0.27126, margin_power_id = -0.364399 and margin_cons_id = 0.05; `power` is theirs with the
    sign turned.

    Parameters
    ----------
    counts : (n_classes,) int array >= 1
        Training photos of each individual.
    scale : float
    power : float >= 0
    constant : float

    Returns
    -------
    (n_classes,) float32 array in [0, pi/2), in radians

    Raises
    ------
    FinblendError
        If a count is below 1 or a margin leaves [0, pi/2).

    Examples
    --------
    >>> margins_by_count(np.array([1, 10, 400]), 0.27126, 0.364399, 0.05).round(4)
    array([0.3213, 0.1672, 0.0806], dtype=float32)
    """
    for name, value in (("scale", scale), ("power", power), ("constant", constant)):
        if not math.isfinite(value):
            raise FinblendError(f"margins by count need finite numbers, but got {name}={value}")
    if power < 0:
        raise FinblendError(
            f"power >= 0 must hold, so that margins shrink with the photos, but got power={power} "
            f"(Happywhale's margin_power is -power)"
        )
    n = np.asarray(counts)
    if n.ndim != 1 or not np.issubdtype(n.dtype, np.integer):
        raise FinblendError(f"counts must be one row of integers, but got shape={n.shape} and dtype={n.dtype}")
    if (n < 1).any():
        which = int(np.flatnonzero(n < 1)[0])
        raise FinblendError(f"counts >= 1 must hold, but class {which} has count={n[which]}")
    return checked_margin(scale * n.astype(np.float64) ** -power + constant).astype(np.float32)
