"""Where two blends differ: over all photos, over some of them, and photo by photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from ensemble.comparison.compared import BlendAnswers, ComparedBlend
from ensemble.comparison.result import (
    DifferingPhoto,
    GroupDifference,
    PairedDifference,
    PhotoAnswers,
    PhotoDifferences,
)
from ensemble.protocol.bootstrap import FEWEST, Bootstrap, interval_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.scores import mean_of
from postproc import NEW, NOBODY

# what differs by rounding only is equal
ROUNDING = 1e-12


def paired_difference(draws: np.ndarray, evaluation_set: EvaluationSet, precision: np.ndarray) -> PairedDifference:
    """Second minus first over all photos.

    Parameters
    ----------
    draws : (n_draws, 2) float array
        MAP@5 of both in the same drawn catalogues.
    evaluation_set : EvaluationSet
    precision : (2, m) float array
        Average precision of each photo.
    """
    gain = draws[:, 1] - draws[:, 0]
    return PairedDifference(
        difference=float(evaluation_set.weights @ (precision[1] - precision[0])),
        interval=interval_of(gain),
        second_better=float((gain > ROUNDING).mean()),
        first_better=float((gain < -ROUNDING).mean()),
        equal=float((np.abs(gain) <= ROUNDING).mean()),
    )


def group_differences(
    evaluation_set: EvaluationSet, bootstrap: Bootstrap, precision: np.ndarray, group: np.ndarray, groups: int
) -> list[GroupDifference]:
    """Second minus first over some photos only.

    Parameters
    ----------
    evaluation_set, bootstrap
    precision : (2, m) float array
    group : (m,) int array
        Which group a photo is of, 0 to groups - 1.
    groups : int
    """
    draws = bootstrap.grouped(precision, group, groups)
    individuals = bootstrap.individuals(group, groups)
    differences = []
    for number in range(groups):
        members = group == number
        first, second = (mean_of(row, evaluation_set.weights, members) for row in precision)
        gain = draws[:, number, 1] - draws[:, number, 0]
        differences.append(
            GroupDifference(
                share=float(evaluation_set.weights[members].sum()),
                first=first,
                second=second,
                difference=second - first if first is not None and second is not None else None,
                # so few individuals could not tell one
                interval=interval_of(gain) if individuals[number] >= FEWEST else None,
            )
        )
    return differences


def differing_photos(
    pair: Sequence[ComparedBlend], evaluation_sets: Sequence[EvaluationSet], answers: Sequence[BlendAnswers], most: int
) -> PhotoDifferences:
    """Count the photos on which either is better, and list those that move the score most.

    Parameters
    ----------
    pair, evaluation sets, answers : sequences of two
        The same photos in the same order.
    most : int
        How many to list for either.
    """
    gain = answers[1].precision - answers[0].precision
    moved = evaluation_sets[0].weights * gain
    chosen: list[int] = []
    for sign in (1, -1):
        order = np.argsort(-sign * moved, kind="stable")[:most]
        chosen += [int(at) for at in order if sign * moved[at] > 0]
    return PhotoDifferences(
        compared=len(gain),
        second_better=int((gain > 0).sum()),
        first_better=int((gain < 0).sum()),
        same=int((gain == 0).sum()),
        most=[_photo(at, pair, evaluation_sets, answers) for at in chosen],
    )


def _photo(
    at: int, pair: Sequence[ComparedBlend], evaluation_sets: Sequence[EvaluationSet], answers: Sequence[BlendAnswers]
) -> DifferingPhoto:
    evaluation_set, catalogue = evaluation_sets[0], pair[0].project.catalogue
    row = int(evaluation_set.row[at])
    photo, truth = catalogue.train.row(row, named=True), int(evaluation_set.truth[at])
    first, second = (_photo_answers(at, truth, *each) for each in zip(pair, evaluation_sets, answers, strict=True))
    return DifferingPhoto(
        image=photo["image"],
        truth=NEW_INDIVIDUAL if truth == NEW else catalogue.individuals[truth],
        individual=photo["individual_id"],
        plays_stranger=bool(evaluation_set.is_simulated[at]),
        species=photo["species"],
        fold=int(photo["fold"]),
        weight=float(evaluation_set.weights[at]),
        first=first,
        second=second,
    )


def _photo_answers(
    at: int, truth: int, compared: ComparedBlend, evaluation_set: EvaluationSet, answers: BlendAnswers
) -> PhotoAnswers:
    catalogue = compared.project.catalogue
    fold = int(evaluation_set.fold[at])
    gallery = next(task.gallery_images for task in evaluation_set.query_set.tasks if task.fold == fold)
    labels, pictures = answers.labels[at].tolist(), answers.photo[at].tolist()
    given = [(label, picture) for label, picture in zip(labels, pictures, strict=True) if label != NOBODY]
    return PhotoAnswers(
        place=labels.index(truth) + 1 if truth in labels else None,
        precision=float(answers.precision[at]),
        answers=[NEW_INDIVIDUAL if label == NEW else catalogue.individuals[label] for label, _ in given],
        photos=[gallery[picture] if picture != NOBODY else None for _, picture in given],
    )
