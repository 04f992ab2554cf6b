"""One paired test for every automatic choice, photo by photo: is the second clearly better than the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# how sure one, two and three standard errors of the mean are, by the normal distribution
ONE_ERROR, TWO_ERRORS, THREE_ERRORS = 0.8413447460685429, 0.9772498680518208, 0.9986501019683699


@dataclass(frozen=True)
class PairedTest:
    """A paired difference.

    Attributes
    ----------
    gain : float
        Its mean.
    sure : float
        How sure a gain is, in [0, 1].
    """

    gain: float
    sure: float

    @classmethod
    def of_photos(cls, gain: np.ndarray, weights: np.ndarray | None = None) -> PairedTest:
        """From each photo's gain, by the normal distribution of its mean.

        Parameters
        ----------
        gain : (n,) float array
            NaN, or no photo at all: nothing is sure.
        weights : (n,) float array, optional
            Summing to 1; equal by default.

        Examples
        --------
        >>> paired = PairedTest.of_photos(np.array([0.0, 1.0, 0.0, 1.0]))
        >>> paired.gain, round(paired.sure, 3)
        (0.5, 0.977)
        """
        from scipy.special import ndtr

        if not len(gain) or np.isnan(gain).any():
            return cls(float("nan"), 0.0)
        if weights is None:
            mean = float(gain.mean())
            error = float(gain.std() / np.sqrt(len(gain)))
        else:
            mean = float(weights @ gain)
            error = float(np.sqrt((weights**2) @ (gain - mean) ** 2))
        if error == 0:
            return cls(mean, float(mean > 0))
        return cls(mean, float(ndtr(mean / error)))

    @classmethod
    def of_draws(cls, gain: float, drawn: np.ndarray) -> PairedTest:
        """From a gain and the same gain in drawn catalogues: how sure is the share of those in which there is one."""
        return cls(gain, float((drawn > 0).mean()))


def clearly_better(test: PairedTest, sure: float) -> bool:
    """Whether a gain is at least as sure as an automatic choice asks for.

    Parameters
    ----------
    test : PairedTest
    sure : float
        In (0.5, 1), for instance `TWO_ERRORS`: the more alternatives are tried, the more is asked.
    """
    return test.sure >= sure
