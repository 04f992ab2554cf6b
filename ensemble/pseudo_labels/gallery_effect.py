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
from ensemble.project.pseudo_rounds import GalleryAdditions
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.certify import certified
from ensemble.protocol.setup import setup_of_blend
from ensemble.retrieval.query_set import SUPPOSED, queries_out_of_fold

HOW = (
    "out-of-fold: fold K's photos meet the set for fold K, which never saw it; the blend's weights were tuned on all "
    "folds without these photos, its rule and threshold are solved again on both sides, or its second stage is fitted "
    "on both sides, cross-fitted over folds"
)


def gallery_effect(project: Project, gallery: GalleryAdditions, progress: Progress | None = None) -> dict[str, Any]:
    """Score the tuned blend out-of-fold with and without named test photos in the gallery.

    Parameters
    ----------
    project : Project
    gallery : GalleryAdditions
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
    setup = setup_of_blend(project, blend, progress)
    try:
        query_set = queries_out_of_fold(project, setup.models, blend.whitening, progress, blend.applied, gallery)
        evaluation_sets = (setup.evaluation_set, replace(setup.evaluation_set, query_set=query_set))
        precisions = []
        for evaluation_set in evaluation_sets:
            if blend.second_stage:
                precisions.append(
                    average_precisions(SecondStage(evaluation_set, blend).answers(), evaluation_set.truth)
                )
            else:
                own, ranking, _, _ = certified(evaluation_set, blend, progress)
                precisions.append(evaluation_set.precisions(ranking, own))
    finally:
        for entry in project.cache.glob(f"*{SUPPOSED}-*"):
            shutil.rmtree(entry, ignore_errors=True)
    stacked = np.stack(precisions)
    before, after = (stacked @ setup.evaluation_set.weights).tolist()
    draws = Bootstrap(setup.evaluation_set, project.catalogue.labels).draws(stacked)
    return {
        "without": before,
        "with": after,
        "difference": after - before,
        "interval": interval_of(draws[:, 1] - draws[:, 0]),
        "measured": HOW,
    }
