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
from cv.margins import factors, gallery_classes, raked, species_cells, species_classes, strangers_by_species

# the species that a table of shares does not name
REST = "*"
# Known test photos of an individual are assumed to come in proportion to (its gallery photos) ** EXPONENT. 0.9 is the
# value whose mix is nearest to the gallery photos of a winning team's answers on Happywhale's real test photos
# (benchmarks/gallery_mix.py).
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


@dataclass(frozen=True)
class Photos:
    """What a mix can tell of the out-of-fold photos.

    Attributes
    ----------
    gallery_photos : (n,) int array
        For each photo, its individual's photos in the gallery; 0 for a stranger.
    species : (n,) int array
        Likely species of each photo; all 0 where there are none.
    count : (n,) float array
        How often each counts before any weighting, usually 1; less for photos that play the stranger beside being
        themselves.
    """

    gallery_photos: np.ndarray
    species: np.ndarray
    count: np.ndarray

    @classmethod
    def plain(cls, gallery_photos: np.ndarray) -> Photos:
        """Photos without species, each counting once."""
        n = len(gallery_photos)
        return cls(np.asarray(gallery_photos), np.zeros(n, dtype=np.int32), np.ones(n))


@dataclass(frozen=True)
class Catalogued:
    """What the whole catalogue, the gallery of the test photos, looks like.

    Attributes
    ----------
    photos : (n_individuals,) int array >= 0
        Photos of each individual; who has none is nobody that test could show.
    species : (n_individuals,) int array
    test_species : (n_species,) float array or None
        Share of each species among the test photos; None leaves the species as they are out-of-fold.
    names : sequence of str
        The species' names, needed where strangers have a share in each species.
    """

    photos: np.ndarray
    species: np.ndarray
    test_species: np.ndarray | None = None
    names: Sequence[str] = ()

    @classmethod
    def plain(cls, photos: np.ndarray) -> Catalogued:
        """A catalogue without species."""
        return cls(np.asarray(photos), np.zeros(len(photos), dtype=np.int32))


def mix_weights(photos: Photos, catalogue: Catalogued, mix: Mix) -> np.ndarray:
    """Weight out-of-fold photos so that they have the stated mix.

    Three margins are met at once by raking (iterative proportional fitting, Deming and Stephan 1940): the share of
    strangers, the gallery photos per known individual, and the species among the test photos. Strangers are of the
    species that they are of out-of-fold, as far as test has these (`strangers_by_species`). The share is always met;
    where all strangers, or all known photos, are of species that test lacks, the species stay as they are.

    With a share per species the first and the last are one margin, species by stranger or not. Species that cannot
    carry their share (`joined_species`) meet the share that they have together.

    Parameters
    ----------
    photos : Photos
    catalogue : Catalogued
    mix : Mix

    Returns
    -------
    (n,) float64 array >= 0, summing to 1

    Raises
    ------
    FinblendError
        If strangers (or known photos) are wanted and there are none to carry the weight.

    Examples
    --------
    Half of the photos are strangers; a test with a quarter of them gives each stranger an eighth of the weight.

    >>> four = Photos.plain(np.array([0, 0, 1, 1]))
    >>> mix_weights(four, Catalogued.plain(np.array([2, 1, 1])), Mix(0.25, gallery_exponent=None)).round(3)
    array([0.125, 0.125, 0.375, 0.375])
    """
    new = photos.gallery_photos == 0
    total = photos.count.sum()
    species_target: np.ndarray | None
    if isinstance(mix.new_share, Mapping):
        wanted, _ = _wanted(photos, catalogue, mix)
        share = float(wanted[:, 1].sum())
        of_photo, species_target, _ = species_cells(photos, wanted)
    else:
        share = float(photos.count[new].sum() / total) if mix.new_share is None else mix.new_share
        merged, species_target = species_classes(photos, catalogue)
        of_photo = merged[photos.species]
    for part, there, who in ((share, new.any(), "strangers"), (1 - share, (~new).any(), "known individuals")):
        if part > 0 and not there:
            raise FinblendError(f"the stated mix has a share of {part:.3g} of {who}, but out-of-fold there are none")
    classes = np.zeros(len(new), dtype=np.int64)
    target = np.array([share])
    if species_target is not None and not isinstance(mix.new_share, Mapping):
        # or the raking would lift strangers with the known photos of a species that out-of-fold is short of
        own = strangers_by_species(photos, catalogue, share, mix.gallery_exponent)
        if own.any():
            classes, target = of_photo.copy(), np.bincount(merged, weights=own, minlength=len(species_target))
    classes[~new] = len(target)
    if mix.gallery_exponent is not None and (~new).any():
        known, wanted_share = gallery_classes(photos, catalogue, mix.gallery_exponent)
        classes[~new] = len(target) + known
        target = np.append(target, (1 - share) * wanted_share)
    else:
        target = np.append(target, 1 - share)
    kinds, wanted_kinds = new.astype(np.int64), np.array([1 - share, share])
    weights = raked(photos.count / total, (of_photo, species_target), (classes, target))
    reached = np.bincount(kinds, weights=weights, minlength=2)
    if ((reached == 0) & (wanted_kinds > 0)).any():
        # all strangers, or all known photos, are of species that test lacks: the share goes before the species
        weights = raked(photos.count / total, (of_photo, None), (classes, target))
    # a class whose photos are all of such species has lost its weight to the others of its kind
    return np.asarray(weights * factors(weights, kinds, wanted_kinds)[kinds])


def joined_species(photos: Photos, catalogue: Catalogued, mix: Mix) -> list[str]:
    """Species with a share of their own in the mix that too few out-of-fold photos could carry.

    Parameters
    ----------
    photos : Photos
    catalogue : Catalogued
    mix : Mix

    Returns
    -------
    list of str
        Only species that the mix names and test seems to have; none where the mix has one share for all.
    """
    if not isinstance(mix.new_share, Mapping):
        return []
    wanted, names = _wanted(photos, catalogue, mix)
    joined = species_cells(photos, wanted)[2]
    expected = wanted.sum(axis=1) > 0
    return [name for n, name in enumerate(names) if joined[n] and expected[n] and name in mix.new_share]


def _wanted(photos: Photos, catalogue: Catalogued, mix: Mix) -> tuple[np.ndarray, Sequence[str]]:
    """(n_species, 2) share of known photos and of strangers of each species, summing to 1, and the species' names."""
    rate = mix.shares(catalogue.names)
    species = catalogue.test_species
    if species is None:
        species = np.bincount(photos.species, weights=photos.count, minlength=len(catalogue.names))
    assert rate is not None  # noqa: S101 - callers have a mix by species
    return (species / species.sum())[:, None] * np.stack([1 - rate, rate], axis=1), catalogue.names
