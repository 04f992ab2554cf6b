"""Samples and populations that a mix is weighted between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
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
    def plain(cls, gallery_photos: np.ndarray) -> Sample:
        """Photos without species, each counting once."""
        n = len(gallery_photos)
        return cls(np.asarray(gallery_photos), np.zeros(n, dtype=np.int32), np.ones(n))


@dataclass(frozen=True)
class Population:
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
    def plain(cls, photos: np.ndarray) -> Population:
        """A catalogue without species."""
        return cls(np.asarray(photos), np.zeros(len(photos), dtype=np.int32))
