"""The right mix: score out-of-fold photos as if they came as test photos will come.

Out-of-fold, an individual with two photos has one left in the gallery, and one with a single photo plays the stranger;
in test the whole gallery is there. So known test photos with one gallery photo are more common than out-of-fold, and
they are the hard ones. Weighting photos to a stated share of strangers and a stated number of gallery photos per known
individual removes this, the largest error of plain out-of-fold scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cv.errors import FinblendError

# Known test photos of an individual are assumed to come in proportion to (its gallery photos) ** EXPONENT. 0.9 is the
# value whose mix is nearest to the gallery photos of a winning team's answers on Happywhale's real test photos
# (benchmarks/gallery_mix.py).
EXPONENT = 0.9
# Gallery photos are counted in these classes (lower edges): beyond a few photos the exact number hardly matters.
EDGES = (1, 2, 3, 4, 6, 11, 21, 51)
# A class joins its neighbour if it has fewer out-of-fold photos than this, or would have to be lifted by more: a
# handful of photos must not carry a large share of the score.
MIN_PHOTOS = 20
MAX_LIFT = 3.0
ROUNDS = 100


@dataclass(frozen=True)
class Mix:
    """What the photos to be scored are assumed to look like.

    Attributes
    ----------
    new_share : float or None
        Share of strangers, in [0, 1); None keeps the raw out-of-fold share.
    gallery_exponent : float or None
        Known photos of an individual with n gallery photos come in proportion to n ** gallery_exponent (>= 0);
        None keeps the raw out-of-fold numbers.
    """

    new_share: float | None = None
    gallery_exponent: float | None = EXPONENT

    def __post_init__(self) -> None:
        for name in ("new_share", "gallery_exponent"):
            if not isinstance(getattr(self, name), (int, float, type(None))):
                raise FinblendError(f"{name} must be a number, but got {name}={getattr(self, name)!r}")
        if self.new_share is not None and not 0.0 <= self.new_share < 1.0:
            raise FinblendError(f"0 <= new_share < 1 must hold, but got new_share={self.new_share}")
        if self.gallery_exponent is not None and not 0.0 <= self.gallery_exponent < np.inf:
            raise FinblendError(f"gallery_exponent >= 0 must hold, but got gallery_exponent={self.gallery_exponent}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
    """

    photos: np.ndarray
    species: np.ndarray
    test_species: np.ndarray | None = None

    @classmethod
    def plain(cls, photos: np.ndarray) -> Catalogued:
        """A catalogue without species."""
        return cls(np.asarray(photos), np.zeros(len(photos), dtype=np.int32))


def mix_weights(photos: Photos, catalogue: Catalogued, mix: Mix) -> np.ndarray:
    """Weight out-of-fold photos so that they have the stated mix.

    Three margins are met at once by raking (iterative proportional fitting, Deming and Stephan 1940): the share of
    strangers, the gallery photos per known individual, and the species among the test photos. The share is always met;
    where all strangers, or all known photos, are of species that test lacks, the species stay as they are.

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
    share = float(photos.count[new].sum() / total) if mix.new_share is None else mix.new_share
    for wanted, there, who in ((share, new.any(), "strangers"), (1 - share, (~new).any(), "known individuals")):
        if wanted > 0 and not there:
            raise FinblendError(f"the stated mix has a share of {wanted:.3g} of {who}, but out-of-fold there are none")
    classes = np.zeros(len(new), dtype=np.int64)
    target = np.array([share, 1 - share])
    classes[~new] = 1
    if mix.gallery_exponent is not None and (~new).any():
        known, wanted_share = _gallery_classes(photos, catalogue, mix.gallery_exponent)
        classes[~new] = 1 + known
        target = np.append(share, (1 - share) * wanted_share)
    species, species_target = _species_classes(photos, catalogue)
    kinds, wanted_kinds = new.astype(np.int64), np.array([1 - share, share])
    weights = _raked(photos.count / total, (species, species_target), (classes, target))
    reached = np.bincount(kinds, weights=weights, minlength=2)
    if ((reached == 0) & (wanted_kinds > 0)).any():
        # all strangers, or all known photos, are of species that test lacks: the share goes before the species
        weights = _raked(photos.count / total, (species, None), (classes, target))
    # a class whose photos are all of such species has lost its weight to the others of its kind
    return np.asarray(weights * _factors(weights, kinds, wanted_kinds)[kinds])


def _raked(
    weights: np.ndarray, species: tuple[np.ndarray, np.ndarray | None], classes: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Weights that meet one margin after the other, again and again."""
    for _ in range(ROUNDS):
        before = weights
        for of_photo, target in (species, classes):
            if target is not None:
                weights = weights * _factors(weights, of_photo, target)[of_photo]
        if np.abs(weights - before).max() < 1e-12:
            break
    return weights


def _factors(weights: np.ndarray, classes: np.ndarray, target: np.ndarray) -> np.ndarray:
    have = np.bincount(classes, weights=weights, minlength=len(target))
    return np.asarray(np.divide(target, have, out=np.zeros_like(have), where=have > 0))


def _gallery_classes(photos: Photos, catalogue: Catalogued, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Class of each known photo by its gallery photos, and the share each class shall have."""
    edges = np.array(EDGES)
    known = photos.gallery_photos > 0
    classes = np.searchsorted(edges, photos.gallery_photos[known], side="right") - 1
    rate = np.where(catalogue.photos > 0, (catalogue.photos / catalogue.photos.max()) ** exponent, 0.0)
    if catalogue.test_species is not None:
        # an individual is met as often as its species is, whatever its number of individuals
        of_species = np.bincount(catalogue.species, weights=rate, minlength=len(catalogue.test_species))
        rate = (
            rate
            * np.divide(catalogue.test_species, of_species, out=np.zeros_like(of_species), where=of_species > 0)[
                catalogue.species
            ]
        )
    own_class = np.searchsorted(edges, np.maximum(catalogue.photos, 1), side="right") - 1
    wanted = np.bincount(own_class, weights=rate, minlength=len(edges))
    joined = _join_thin(np.bincount(classes, weights=photos.count[known], minlength=len(edges)), wanted / wanted.sum())
    share = np.bincount(joined, weights=wanted / wanted.sum(), minlength=len(edges))
    share[np.setdiff1d(np.arange(len(edges)), joined[classes])] = 0.0
    return joined[classes], share / share.sum()


def _join_thin(have: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which class each class joins: thin ones the next smaller, from the long tail's end; the first the next larger."""
    joined = np.arange(len(have))

    def thin(c: int) -> bool:
        inside = joined == c
        lift = wanted[inside].sum() / max(have[inside].sum() / have.sum(), 1e-12)
        return bool(have[inside].sum() < MIN_PHOTOS or lift > MAX_LIFT)

    for c in range(len(have) - 1, 0, -1):
        if thin(c):
            joined[joined == c] = c - 1
    while thin(0) and (joined > 0).any():
        joined[joined == joined[joined > 0].min()] = 0
    return joined


def _species_classes(photos: Photos, catalogue: Catalogued) -> tuple[np.ndarray, np.ndarray | None]:
    """Species of each photo, rare ones as one, and the share each shall have (None: as they are)."""
    if catalogue.test_species is None:
        return np.zeros(len(photos.species), dtype=np.int64), None
    n = len(catalogue.test_species)
    have = np.bincount(photos.species, weights=photos.count, minlength=n)
    lift = catalogue.test_species / np.maximum(have / have.sum(), 1e-12)
    rare = (have < MIN_PHOTOS) | (lift > MAX_LIFT)
    merged = np.where(rare, n, np.arange(n))
    target = np.bincount(merged, weights=catalogue.test_species, minlength=n + 1)
    species = merged[photos.species]
    target[np.setdiff1d(np.arange(n + 1), species)] = 0.0
    return species, target / target.sum() if target.sum() > 0 else None
