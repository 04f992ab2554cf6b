"""Who is mistaken for whom, and which mistakes were made with the greatest confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Two individuals of whom photos of one are named as the other.

    Attributes
    ----------
    pair : (int, int)
        Labels, the smaller first.
    weight : float
        Share of the mix that these photos stand for.
    photos : int
        How many they are.
    absent : int
        For how many of them the right individual was not in the gallery: strangers, and those who play them.
    worst : int
        The one of them that was named with the highest probability, whose right individual was there if any's was.
    """

    pair: tuple[int, int]
    weight: float
    photos: int
    absent: int
    worst: int


def confusions(
    own: np.ndarray, first: np.ndarray, probability: np.ndarray, weights: np.ndarray, absent: np.ndarray
) -> list[Confusion]:
    """Pairs of individuals by how much weight is mistaken between them, most first.

    Parameters
    ----------
    own : (m,) int array
        Label of each photo's individual, strangers' own included.
    first : (m,) int array
        First answer; negative where it is no name.
    probability : (m,) float array
        Of the first answer.
    weights : (m,) float array >= 0
    absent : (m,) bool array
        Whether the photo's individual is not in its gallery.

    Returns
    -------
    list of Confusion

    Examples
    --------
    Two photos of 0 are taken for 1 and one of 1 for 0; 2 is taken for 0 once.

    >>> own, first = np.array([0, 0, 1, 2, 2]), np.array([1, 1, 0, 0, 2])
    >>> found = confusions(own, first, np.full(5, 0.5), np.full(5, 0.2), np.zeros(5, dtype=bool))
    >>> [(one.pair, one.photos) for one in found]
    [((0, 1), 3), ((0, 2), 1)]
    """
    wrong = np.flatnonzero((first >= 0) & (first != own))
    pairs = np.sort(np.stack([own[wrong], first[wrong]], axis=1), axis=1)
    kinds, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.reshape(-1)
    weight = np.bincount(which, weights=weights[wrong], minlength=len(kinds))
    photos = np.bincount(which, minlength=len(kinds))
    alone = np.bincount(which, weights=absent[wrong], minlength=len(kinds))
    # the last of each pair, in this order
    worst = np.empty(len(kinds), dtype=np.int64)
    rising = np.lexsort((probability[wrong], ~absent[wrong]))
    worst[which[rising]] = wrong[rising]
    order = np.lexsort((-photos, -weight))
    return [
        Confusion((int(kinds[n, 0]), int(kinds[n, 1])), float(weight[n]), int(photos[n]), int(alone[n]), int(worst[n]))
        for n in order
    ]


def confident_mistakes(row: np.ndarray, wrong: np.ndarray, probability: np.ndarray, most: int) -> list[int]:
    """Positions of wrong first answers by falling probability, each photo once.

    Parameters
    ----------
    row : (m,) int array
        Which photo each answer is to; one that plays the stranger beside being itself stands twice.
    wrong : (m,) bool array
    probability : (m,) float array
    most : int

    Returns
    -------
    list of int
        At most `most`.

    Examples
    --------
    >>> confident_mistakes(np.array([7, 8, 7]), np.array([True, False, True]), np.array([0.6, 0.9, 0.8]), 5)
    [2]
    """
    at = np.flatnonzero(wrong)
    order = at[np.argsort(-probability[at], kind="stable")]
    _, earliest = np.unique(row[order], return_index=True)
    return [int(one) for one in order[np.sort(earliest)][:most]]
