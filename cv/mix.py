"""The right mix: score out-of-fold photos as if they came as test photos will come.

Out-of-fold, an individual with two photos has one left in the gallery, and one with a single photo plays the stranger;
in test the whole gallery is there. So known test photos with one gallery photo are more common than out-of-fold, and
they are the hard ones. Weighting photos to a stated share of strangers and a stated number of gallery photos per known
individual removes this, the largest error of plain out-of-fold scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cv.errors import FinblendError, shown

# the species that a table of shares does not name
REST = "*"
# Known test photos of an individual are assumed to come in proportion to (its gallery photos) ** EXPONENT. 0.9 is the
# value whose mix is nearest to the gallery photos of a winning team's answers on Happywhale's real test photos
# (benchmarks/accuracy/gallery_exponent.py).
EXPONENT = 0.9


@dataclass(frozen=True)
class Mix:
    """What the photos to be scored are assumed to look like.

    Attributes
    ----------
    new_share : float, mapping of str to float, or None
        Share of strangers, in [0, 1), overall or per species (`REST` for those it does not name); None keeps the raw
        out-of-fold share.
    gallery_exponent : float or None
        Known photos of an individual with n gallery photos come in proportion to n ** gallery_exponent (>= 0);
        None keeps the raw out-of-fold numbers.
    """

    new_share: float | Mapping[str, float] | None = None
    gallery_exponent: float | None = EXPONENT

    def __post_init__(self) -> None:
        if isinstance(self.new_share, Mapping):
            if not self.new_share:
                raise FinblendError("new_share names no species")
            # in one order, so that the same shares are the same mix
            object.__setattr__(self, "new_share", dict(sorted(self.new_share.items())))
            for species, share in self.new_share.items():
                check_share(f"new_share of {species}", np.nan if share is None else share)
        else:
            check_share("new_share", self.new_share)
        _check_number("gallery_exponent", self.gallery_exponent)
        if self.gallery_exponent is not None and not 0.0 <= self.gallery_exponent < np.inf:
            raise FinblendError(f"gallery_exponent >= 0 must hold, but got gallery_exponent={self.gallery_exponent}")

    def shares(self, species: Sequence[str]) -> np.ndarray | None:
        """Share of strangers in each species.

        Parameters
        ----------
        species : sequence of str
            The catalogue's.

        Returns
        -------
        (n_species,) float64 array in [0, 1), or None where no share is stated

        Raises
        ------
        FinblendError
            If a species of the mix is not the catalogue's, or one of the catalogue's has no share.

        Examples
        --------
        >>> Mix({"beluga": 0.01, "*": 0.2}).shares(["beluga", "fin_whale"])
        array([0.01, 0.2 ])
        """
        if self.new_share is None:
            return None
        if not isinstance(self.new_share, Mapping):
            return np.full(len(species), float(self.new_share))
        strange = [name for name in self.new_share if name != REST and name not in species]
        if strange:
            raise FinblendError(f"new_share: species '{strange[0]}' is not among the catalogue's ({shown(species)})")
        missing = [name for name in species if name not in self.new_share]
        if missing and REST not in self.new_share:
            raise FinblendError(
                f"new_share: no share for {shown(missing)}; every species needs one, or '{REST}' the rest"
            )
        rest = self.new_share.get(REST, 0.0)
        return np.array([float(self.new_share.get(name, rest)) for name in species])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, (int, float, type(None))):
        raise FinblendError(f"{name} must be a number, but got {name}={value!r}")


def check_share(name: str, value: float | None, written: str = "") -> None:
    """Refuse a share of strangers outside [0, 1).

    Parameters
    ----------
    name : str
    value : float or None
    written : str
        How it was written, where that is not as Python writes it.

    Examples
    --------
    >>> check_share("new_share", 12)
    Traceback (most recent call last):
    cv.errors.FinblendError: 0 <= new_share < 1 must hold, but got new_share=12; did you mean 0.12?
    """
    _check_number(name, value)
    if value is not None and not 0.0 <= value < 1.0:
        # per cent are the likely reason
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise FinblendError(f"0 <= {name} < 1 must hold, but got {name}={written or value}{hint}")
