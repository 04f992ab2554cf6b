"""The margins that out-of-fold photos are weighted to, their thin classes joined, and the raking that meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cv.populations import Population, Sample

# Gallery photos are counted in these classes (lower edges): beyond a few photos the exact number hardly matters.
EDGES = (1, 2, 3, 4, 6, 11, 21, 51)
# A class joins its neighbour if it has fewer out-of-fold photos than this, or would have to be lifted by more: a
# handful of photos must not carry a large share of the score.
MIN_PHOTOS = 20
MAX_LIFT = 3.0
ROUNDS = 100


def raked(
    weights: np.ndarray, species: tuple[np.ndarray, np.ndarray | None], classes: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Weights that meet one margin after the other, again and again."""
    for _ in range(ROUNDS):
        before = weights
        for of_photo, target in (species, classes):
            if target is not None:
                weights = weights * factors(weights, of_photo, target)[of_photo]
        if np.abs(weights - before).max() < 1e-12:
            break
    return weights


def factors(weights: np.ndarray, classes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What each class's weights are multiplied by to meet its target."""
    have = np.bincount(classes, weights=weights, minlength=len(target))
    return np.asarray(np.divide(target, have, out=np.zeros_like(have), where=have > 0))


def gallery_classes(photos: Sample, catalogue: Population, exponent: float) -> tuple[np.ndarray, np.ndarray]:
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
    joined = join_thin(np.bincount(classes, weights=photos.count[known], minlength=len(edges)), wanted / wanted.sum())
    share = np.bincount(joined, weights=wanted / wanted.sum(), minlength=len(edges))
    share[np.setdiff1d(np.arange(len(edges)), joined[classes])] = 0.0
    return joined[classes], share / share.sum()


def join_thin(have: np.ndarray, wanted: np.ndarray) -> np.ndarray:
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


def species_classes(photos: Sample, catalogue: Population) -> tuple[np.ndarray, np.ndarray | None]:
    """Which class each species is of, rare ones as one, and the share each shall have (None: as they are)."""
    if catalogue.test_species is None:
        return np.zeros(int(photos.species.max()) + 1, dtype=np.int64), None
    n = len(catalogue.test_species)
    have = np.bincount(photos.species, weights=photos.count, minlength=n)
    lift = catalogue.test_species / np.maximum(have / have.sum(), 1e-12)
    rare = (have < MIN_PHOTOS) | (lift > MAX_LIFT)
    merged = np.where(rare, n, np.arange(n))
    target = np.bincount(merged, weights=catalogue.test_species, minlength=n + 1)
    target[np.setdiff1d(np.arange(n + 1), merged[photos.species])] = 0.0
    return merged, target / target.sum() if target.sum() > 0 else None


def strangers_by_species(photos: Sample, catalogue: Population, share: float, exponent: float | None) -> np.ndarray:
    """How many strangers of each species test shall have.

    In each species the odds of a stranger are those of the out-of-fold strangers against the known photos that test
    would have if all species were met alike, all odds times one factor that gives the whole share. Where test has the
    species so met, strangers are of the species that they are of out-of-fold; a species that test has more or less of
    brings more or fewer strangers, and never more than itself.

    Parameters
    ----------
    photos : Sample
    catalogue : Population
        With `test_species`.
    share : float
        Of strangers, overall, in [0, 1).
    exponent : float or None
        `Mix.gallery_exponent`.

    Returns
    -------
    (n_species,) float64 array
        Shares of all photos, summing to `share` if out-of-fold strangers are of species that test has.

    Examples
    --------
    Half of the strangers are of either species, and so they stay; of the second species test has half as many:

    >>> from cv.populations import Population, Sample
    >>> four = Sample(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.ones(4))
    >>> strangers_by_species(four, Population(np.array([2, 2]), np.arange(2), np.array([0.5, 0.5])), 0.2, 1.0).round(3)
    array([0.1, 0.1])
    >>> strangers_by_species(four, Population(np.array([2, 2]), np.arange(2), np.array([0.8, 0.2])), 0.2, 1.0).round(3)
    array([0.16, 0.04])
    """
    expected = catalogue.test_species
    assert expected is not None  # noqa: S101 - callers have species
    n, new = len(expected), photos.gallery_photos == 0
    strangers = np.bincount(photos.species[new], weights=photos.count[new], minlength=n)
    if exponent is None:
        known = np.bincount(photos.species[~new], weights=photos.count[~new], minlength=n)
    else:
        known = np.bincount(catalogue.species, weights=catalogue.photos.astype(float) ** exponent, minlength=n)
    odds = np.divide(strangers, known, out=np.where(strangers > 0, np.inf, 0.0), where=known > 0)
    most = float(expected[odds > 0].sum())
    if not 0 < share < most:
        return np.where(odds > 0, expected, 0.0) * (share / most if most > 0 else 0.0)
    found = expected * rates_at(odds, expected, share)
    return np.asarray(found * (share / found.sum()))


def rates_at(odds: np.ndarray, expected: np.ndarray, share: float) -> np.ndarray:
    """Rates whose odds are the given ones times one factor, so that their mean over the expected shares is `share`."""
    low, high = -600.0, 600.0
    finite = np.where(np.isinf(odds), 0.0, odds)
    for _ in range(100):
        near = finite * np.exp((low + high) / 2)
        moved = np.where(np.isinf(odds), 1.0, near / (1.0 + near))
        low, high = ((low + high) / 2, high) if expected @ moved < share else (low, (low + high) / 2)
    return np.asarray(moved)


def species_cells(photos: Sample, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Species and kind (known or new) of each photo, thin species as one, and the share each cell shall have.

    Parameters
    ----------
    photos : Sample
    wanted : (n_species, 2) float array
        Share of known photos and of strangers of each species, summing to 1.

    Returns
    -------
    cell : (n,) int array
    target : (n_species * 2 + 2,) float array
        Summing to 1, the strangers' cells to their whole share; a kind that a species lacks falls to the others'.
    joined : (n_species,) bool array
        Species that meet their shares together only. A thin one has a cell that fewer photos (in effective number, as
        hidden ones count in part) than `MIN_PHOTOS` carry, or that is lifted by more than `MAX_LIFT`; where together
        they are thin still, the next smallest species joins them.
    """
    n, new = len(wanted), (photos.gallery_photos == 0).astype(np.int64)
    cell = photos.species.astype(np.int64) * 2 + new
    have, squares = (np.bincount(cell, weights=photos.count**k, minlength=2 * n).reshape(n, 2) for k in (1, 2))
    total = photos.count.sum()

    def thin(some: np.ndarray) -> bool:
        # Kish 1965
        h, s, w = (part[some].sum(axis=0) for part in (have, squares, wanted))
        effective = np.divide(h**2, s, out=np.zeros(2), where=s > 0)
        return bool(((w > 0) & ((effective < MIN_PHOTOS) | (w * total > MAX_LIFT * effective))).any())

    joined = np.array([thin(np.arange(n) == s) for s in range(n)])
    for s in np.argsort(wanted.sum(axis=1), kind="stable"):
        if not joined.any() or not thin(joined):
            break
        joined[s] = True
    merged = np.where(joined, n, np.arange(n))
    cell = merged[photos.species] * 2 + new
    target = np.stack([np.bincount(merged, weights=wanted[:, k], minlength=n + 1) for k in (0, 1)], axis=1)
    there = np.bincount(cell, weights=photos.count, minlength=2 * n + 2).reshape(n + 1, 2) > 0
    met = np.where(there, target, 0.0)
    share = met.sum(axis=0)
    met *= np.divide(target.sum(axis=0), share, out=np.zeros(2), where=share > 0)
    return cell, met.ravel(), joined
