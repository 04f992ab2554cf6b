"""The photos on which two blends differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from ensemble.comparison.compared import Answered, ComparedBlend
from ensemble.protocol.evaluation_set import EvaluationSet
from postproc import NEW, NOBODY


def differing_photos(
    sides: Sequence[ComparedBlend], evaluation_sets: Sequence[EvaluationSet], answers: Sequence[Answered], most: int
) -> dict[str, Any]:
    """Count the photos on which either is better, and list those that move the score most.

    Parameters
    ----------
    sides, evaluation sets, answers : sequences of two
        The same photos in the same order.
    most : int
        How many to list for either side.

    Returns
    -------
    dict
        `photos` of `ensemble.comparison.compare.compare`.
    """
    gained = answers[1].precision - answers[0].precision
    moved = evaluation_sets[0].weights * gained
    chosen: list[int] = []
    for sign in (1, -1):
        order = np.argsort(-sign * moved, kind="stable")[:most]
        chosen += [int(at) for at in order if sign * moved[at] > 0]
    return {
        "compared": len(gained),
        "second_better": int((gained > 0).sum()),
        "first_better": int((gained < 0).sum()),
        "same": int((gained == 0).sum()),
        "most": [_photo(at, sides, evaluation_sets, answers) for at in chosen],
    }


def _photo(
    at: int, sides: Sequence[ComparedBlend], evaluation_sets: Sequence[EvaluationSet], answers: Sequence[Answered]
) -> dict[str, Any]:
    evaluation_set, catalogue = evaluation_sets[0], sides[0].project.catalogue
    row = int(np.append(evaluation_set.rows, evaluation_set.hidden)[at])
    photo, truth = catalogue.train.row(row, named=True), int(evaluation_set.truth[at])
    found: dict[str, Any] = {
        "image": photo["image"],
        "truth": NEW_INDIVIDUAL if truth == NEW else catalogue.individuals[truth],
        "individual": photo["individual_id"],
        "plays_stranger": at >= len(evaluation_set.rows),
        "species": photo["species"],
        "fold": int(photo["fold"]),
        "weight": float(evaluation_set.weights[at]),
    }
    for who, side, own, given in zip(("first", "second"), sides, evaluation_sets, answers, strict=True):
        theirs = side.project.catalogue
        fold = int(theirs.folds[np.append(own.rows, own.hidden)[at]])
        gallery = next(task.gallery_images for task in own.query_set.tasks if task.fold == fold)
        labels, pictures = given.labels[at].tolist(), given.photo[at].tolist()
        there = [(label, picture) for label, picture in zip(labels, pictures, strict=True) if label != NOBODY]
        found[who] = {
            "place": labels.index(truth) + 1 if truth in labels else None,
            "precision": float(given.precision[at]),
            "answers": [NEW_INDIVIDUAL if label == NEW else theirs.individuals[label] for label, _ in there],
            "photos": [gallery[picture] if picture != NOBODY else None for _, picture in there],
        }
    return found
