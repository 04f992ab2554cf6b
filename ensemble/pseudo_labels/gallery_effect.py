"""What merging pseudo-labels into the gallery does to the out-of-fold score, simulated before anything is merged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from ensemble.blend.load import tuned_blend
from ensemble.identification.second_stage import SecondStage
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import NamedGallery
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.certify import certified
from ensemble.protocol.setup import desk_of
from ensemble.retrieval.query_set import SUPPOSED, questions_out_of_fold

HOW = (
    "out-of-fold: fold K's photos meet the set for fold K, which never saw it; the blend's weights were tuned on all "
    "folds without these photos, its rule and threshold are solved again on both sides, or its second stage is fitted "
    "on both sides, cross-fitted over folds"
)


def gallery_effect(project: Project, gallery: NamedGallery, progress: Progress | None = None) -> dict[str, Any]:
    """Score the tuned blend out-of-fold with and without named test photos in the gallery.

    Parameters
    ----------
    project : Project
    gallery : NamedGallery
        With a set for each fold.
    progress : callable, optional

    Returns
    -------
    dict
        `without, with` (MAP@5 in the blend's mix), `difference`, `interval` (95 %, paired bootstrap over individuals),
        `measured`.
    """
    missing = [fold for fold in project.catalogue.fold_ids if f"fold-{fold}" not in gallery.sets]
    if missing:
        raise FinblendError(f"there is no set for fold-{missing[0]}: what it does to the gallery cannot be measured")
    blend = tuned_blend(project)
    desk = desk_of(project, blend, progress)
    try:
        questions = questions_out_of_fold(project, desk.sources, blend.whitening, progress, blend.applied, gallery)
        exams = (desk.exam, replace(desk.exam, questions=questions))
        precisions = []
        for exam in exams:
            if blend.second_stage:
                precisions.append(average_precisions(SecondStage(exam, blend).answers(), exam.truth))
            else:
                own, ranking, _, _ = certified(exam, blend, progress)
                precisions.append(exam.precisions(ranking, own))
    finally:
        for entry in project.cache.glob(f"*{SUPPOSED}-*"):
            shutil.rmtree(entry, ignore_errors=True)
    stacked = np.stack(precisions)
    before, after = (stacked @ desk.exam.weights).tolist()
    draws = Bootstrap(desk.exam, project.catalogue.labels).draws(stacked)
    return {
        "without": before,
        "with": after,
        "difference": after - before,
        "interval": interval_of(draws[:, 1] - draws[:, 0]),
        "measured": HOW,
    }
