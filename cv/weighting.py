"""The weight of each out-of-fold photo in a stated mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from cv.populations import Population, Sample
from cv.raking import factors, gallery_classes, raked, species_cells, species_classes, strangers_by_species


def mix_weights(sample: Sample, population: Population, mix: Mix) -> np.ndarray:
    """Weight out-of-fold photos so that they have the stated mix.

    Three margins are met at once by raking (iterative proportional fitting, Deming and Stephan 1940): the share of
    strangers, the gallery photos per known individual, and the species among the test photos. Strangers are of the
    species that they are of out-of-fold, as far as test has these (`strangers_by_species`). The share is always met;
    where all strangers, or all known photos, are of species that test lacks, the species stay as they are.

    With a share per species the first and the last are one margin, species by stranger or not. Species that cannot
    carry their share (`joined_species`) meet the share that they have together.

    Parameters
    ----------
    sample : Sample
    population : Population
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

    >>> four = Sample.plain(np.array([0, 0, 1, 1]))
    >>> mix_weights(four, Population.plain(np.array([2, 1, 1])), Mix(0.25, gallery_exponent=None)).round(3)
    array([0.125, 0.125, 0.375, 0.375])
    """
    new = sample.gallery_photos == 0
    total = sample.count.sum()
    species_target: np.ndarray | None
    if isinstance(mix.new_share, Mapping):
        wanted, _ = _wanted(sample, population, mix)
        share = float(wanted[:, 1].sum())
        of_photo, species_target, _ = species_cells(sample, wanted)
    else:
        share = float(sample.count[new].sum() / total) if mix.new_share is None else mix.new_share
        merged, species_target = species_classes(sample, population)
        of_photo = merged[sample.species]
    for part, occurs, kind in ((share, new.any(), "strangers"), (1 - share, (~new).any(), "known individuals")):
        if part > 0 and not occurs:
            raise FinblendError(f"the stated mix has a share of {part:.3g} of {kind}, but out-of-fold there are none")
    classes = np.zeros(len(new), dtype=np.int64)
    target = np.array([share])
    if species_target is not None and not isinstance(mix.new_share, Mapping):
        # or the raking would lift strangers with the known photos of a species that out-of-fold is short of
        strangers = strangers_by_species(sample, population, share, mix.gallery_exponent)
        if strangers.any():
            classes, target = of_photo.copy(), np.bincount(merged, weights=strangers, minlength=len(species_target))
    classes[~new] = len(target)
    if mix.gallery_exponent is not None and (~new).any():
        # known photos are of test's species less its strangers': these are of species whose individuals have few photos
        of_known = population
        if isinstance(mix.new_share, Mapping):
            of_known = replace(population, test_species=wanted[:, 0])
        elif population.test_species is not None:
            strangers = strangers_by_species(sample, population, share, mix.gallery_exponent)
            left = np.maximum(population.test_species - strangers, 0.0)
            # strangers may take all that test has of the catalogue's species
            if left[population.species[population.photos > 0]].any():
                of_known = replace(population, test_species=left)
        known, wanted_share = gallery_classes(sample, of_known, mix.gallery_exponent)
        classes[~new] = len(target) + known
        target = np.append(target, (1 - share) * wanted_share)
    else:
        target = np.append(target, 1 - share)
    kinds, wanted_kinds = new.astype(np.int64), np.array([1 - share, share])
    weights = raked(sample.count / total, (of_photo, species_target), (classes, target))
    reached = np.bincount(kinds, weights=weights, minlength=2)
    if ((reached == 0) & (wanted_kinds > 0)).any():
        # all strangers, or all known photos, are of species that test lacks: the share goes before the species
        weights = raked(sample.count / total, (of_photo, None), (classes, target))
    # a class whose photos are all of such species has lost its weight to the others of its kind
    return np.asarray(weights * factors(weights, kinds, wanted_kinds)[kinds])


def joined_species(sample: Sample, population: Population, mix: Mix) -> list[str]:
    """Species with a share of their own in the mix that too few out-of-fold photos could carry.

    Parameters
    ----------
    sample : Sample
    population : Population
    mix : Mix

    Returns
    -------
    list of str
        Only species that the mix names and test seems to have; none where the mix has one share for all.
    """
    if not isinstance(mix.new_share, Mapping):
        return []
    wanted, names = _wanted(sample, population, mix)
    joined = species_cells(sample, wanted)[2]
    expected = wanted.sum(axis=1) > 0
    return [name for n, name in enumerate(names) if joined[n] and expected[n] and name in mix.new_share]


def _wanted(sample: Sample, population: Population, mix: Mix) -> tuple[np.ndarray, Sequence[str]]:
    """(n_species, 2) share of known photos and of strangers of each species, summing to 1, and the species' names."""
    rate = mix.shares(population.names)
    species = population.test_species
    if species is None:
        species = np.bincount(sample.species, weights=sample.count, minlength=len(population.names))
    assert rate is not None  # noqa: S101 - callers have a mix by species
    return (species / species.sum())[:, None] * np.stack([1 - rate, rate], axis=1), population.names
