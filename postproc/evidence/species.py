"""Which species a query is likely to be: voted by its exact neighbours in every source, never by its label.

The vote does not depend on the blend's weights, so it is the same for every trial and always certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from postproc.neighbours.search import NOBODY, Neighbours

VOTERS = 10


def vote_species(nearest: Sequence[Neighbours], gallery_species: np.ndarray, n_species: int) -> np.ndarray:
    """Share of votes per species.

    The `VOTERS` nearest photos of each list vote; the j-th nearest counts 1 / j.

    Parameters
    ----------
    nearest : sequence of Neighbours
        One a source and view.
    gallery_species : (n_gallery,) int array
    n_species : int

    Returns
    -------
    (n, n_species) float32 array
        Rows sum to 1 (or are all 0 for a query without neighbours).

    Examples
    --------
    >>> near = Neighbours(np.array([[0, 1]], np.int32), np.array([[0.9, 0.8]], np.float32))
    >>> vote_species([near], np.array([1, 0]), 2).round(2)
    array([[0.33, 0.67]], dtype=float32)
    """
    votes = np.zeros((len(nearest[0].index), n_species), dtype=np.float64)
    for near in nearest:
        for place in range(min(VOTERS, near.index.shape[1])):
            index = near.index[:, place]
            voting = np.flatnonzero(index != NOBODY)
            votes[voting, gallery_species[index[voting]]] += 1.0 / (place + 1)
    total = votes.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(votes, total, out=votes, where=total > 0), dtype=np.float32)


def species_mismatch(shares: np.ndarray) -> np.ndarray:
    """How far each species is from the likeliest one: 0 for that one, 1 for a species without a vote.

    An individual's score falls by the species penalty times this, so a large penalty excludes other species.

    Parameters
    ----------
    shares : (n, n_species) float array >= 0

    Returns
    -------
    (n, n_species) float32 array in [0, 1]
    """
    top = shares.max(axis=1, keepdims=True)
    return np.asarray(1.0 - np.divide(shares, top, out=np.ones_like(shares), where=top > 0), dtype=np.float32)


def given_species(species: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Replace voted shares by certainty where the species is given.

    Parameters
    ----------
    species : (n,) int array
        Species of each query; -1 where it is not given.
    shares : (n, n_species) float32 array
    """
    known = species >= 0
    out = shares.copy()
    out[known] = 0.0
    out[np.flatnonzero(known), species[known]] = 1.0
    return out
