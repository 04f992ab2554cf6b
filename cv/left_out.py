"""Whom a train photo does not meet when it is asked: the other photos of its encounter, or those of its fold."""

from __future__ import annotations

import numpy as np

from cv.catalogue import Catalogue
from cv.errors import FinblendError

ENCOUNTER, FOLD = "encounter", "fold"
LEFT_OUT = (ENCOUNTER, FOLD)


def check_left_out(value: object) -> None:
    """Refuse what is none of `LEFT_OUT`."""
    if value not in LEFT_OUT:
        raise FinblendError(f"leave_out must be one of {', '.join(LEFT_OUT)}, but got leave_out={value!r}")


def left_out_groups(catalogue: Catalogue, leave_out: str, *, holds_out: bool = False) -> np.ndarray:
    """Group of each train photo: a photo meets the photos of all other groups.

    Parameters
    ----------
    catalogue : Catalogue
    leave_out : {"encounter", "fold"}
        Leave one encounter out (a photo without one is an encounter of its own; leave-one-group-out of
        cross-validation), or the whole fold.
    holds_out : bool
        Whether individuals of several encounters were drawn to be strangers (`cv.make_folds`): those whose photos are
        all in one fold. With theirs, their encounters are one group; whoever shares an encounter with them goes along.

    Returns
    -------
    (n,) int32 array >= 0
    """
    check_left_out(leave_out)
    if leave_out == FOLD:
        return catalogue.folds
    encounters = catalogue.encounters
    n, first = len(encounters), int(encounters.max(initial=-1)) + 1
    groups = encounters.copy()
    alone = np.flatnonzero(encounters < 0)
    groups[alone] = first + np.arange(len(alone))
    return _held_together(groups, catalogue.labels, catalogue.folds) if holds_out and n else groups


def _held_together(groups: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Groups in which individuals whose photos are all in one fold have one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_groups, people = int(groups.max()) + 1, int(labels.max()) + 1
    first_fold = np.empty(people, dtype=folds.dtype)
    first_fold[labels] = folds
    is_spread = np.bincount(labels, weights=folds != first_fold[labels], minlength=people) > 0
    held = np.flatnonzero(~is_spread[labels])
    # a graph of groups and of the individuals that hold them together
    ties = coo_array(
        (np.ones(len(held), dtype=bool), (groups[held], n_groups + labels[held])), shape=(n_groups + people,) * 2
    )
    component = connected_components(ties, directed=False)[1][groups]
    return np.asarray(np.unique(component, return_inverse=True)[1], dtype=np.int32)
