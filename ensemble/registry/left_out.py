"""What of the catalogue a train photo does not meet: one rule for all sources of a blend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backbones.pair_store import PairStore
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from cv.left_out import ENCOUNTER, FOLD, check_left_out, left_out_groups
from ensemble.project.folder import Project
from ensemble.registry.models import Model

# ends the line on how a score was measured
TOLD = {
    ENCOUNTER: "each photo was asked against all photos but those of its encounter",
    FOLD: "each photo was asked against the photos of the other folds",
}


def how_asked(how: str, leave_out: str) -> str:
    """How a score was measured, and against which gallery."""
    return f"{how}; {TOLD[leave_out]}"


def groups_of(project: Project, leave_out: str) -> np.ndarray:
    """(n_train,) int32 group of each train photo, whose photos it does not meet."""
    return left_out_groups(project.catalogue, leave_out, holds_out=bool(project.settings.get("hold_out")))


def left_out_by(
    project: Project,
    leave_out: str | None,
    models: Mapping[str, Model],
    pair_stores: Mapping[str, PairStore] | None = None,
    whitening: Mapping[str, str] | None = None,
) -> str:
    """The rule of a blend of these sources: as asked for, or by default what all of them can be asked by.

    A space that was fitted on the other folds, a network's or a whitening's, holds a photo's own fold otherwise than
    those: in test all gallery photos are of those that it was fitted on. So where any model is trained per fold, or
    whitened, the whole fold is left out for all.

    Raises
    ------
    FinblendError
        If the encounter alone shall be left out, and a model is trained per fold.
    """
    trained = [name for name, model in models.items() if model.frozen is None]
    if leave_out is None:
        whitened = any(kind != "none" for kind in (whitening or {}).values())
        by_fold = trained or whitened or silent_within_folds(project.catalogue, pair_stores or {})
        return FOLD if by_fold else ENCOUNTER
    check_left_out(leave_out)
    if leave_out == ENCOUNTER and trained:
        raise FinblendError(
            f"leave_out encounter: {trained[0]} is trained per fold, so the photos of a fold are asked against the "
            "other folds' only; leave out the fold"
        )
    return leave_out


def silent_within_folds(catalogue: Catalogue, pair_stores: Mapping[str, PairStore]) -> list[str]:
    """Pair sources that say something of train photos, but nothing of two that are of one fold."""
    silent = []
    for name, store in pair_stores.items():
        pairs = store.pairs("train")
        if len(pairs) and not (catalogue.folds[pairs.query] == catalogue.folds[pairs.gallery]).any():
            silent.append(name)
    return silent
