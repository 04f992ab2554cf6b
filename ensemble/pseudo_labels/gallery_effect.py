"""What merging pseudo-labels into the gallery does to the out-of-fold score, simulated before anything is merged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import GalleryAdditions
from ensemble.project.result import Result, named
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.certify import certify
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import setup_of_blend
from ensemble.retrieval.retriever import TRIED

HOW = (
    "out-of-fold: fold K's photos meet the set for fold K, which never saw it; the blend's weights were tuned on all "
    "folds without these photos, its rule and threshold are solved again on both sides, or its second stage is fitted "
    "on both sides, cross-fitted over folds"
)


@dataclass(frozen=True, kw_only=True)
class GalleryEffect(Result):
    """What named test photos in the gallery do to the out-of-fold score, in the blend's mix.

    Attributes
    ----------
    before, after : float
        MAP@5 without and with them: keys `without` and `with`.
    difference : float
    interval : list of float
        95 %, of the difference: paired bootstrap over individuals.
    measured : str
    """

    before: float = named("without")
    after: float = named("with")
    difference: float
    interval: list[float]
    measured: str = HOW


def gallery_effect(project: Project, gallery: GalleryAdditions, progress: Progress | None = None) -> GalleryEffect:
    """Score the tuned blend out-of-fold with and without named test photos in the gallery.

    Parameters
    ----------
    project : Project
    gallery : GalleryAdditions
        With a set for each fold.
    progress : callable, optional
    """
    missing = [fold for fold in project.catalogue.fold_ids if f"fold-{fold}" not in gallery.sets]
    if missing:
        raise FinblendError(f"there is no set for fold-{missing[0]}: what it does to the gallery cannot be measured")
    blend = tuned_blend(project)
    setup = setup_of_blend(project, blend, progress)
    try:
        tried = replace(setup.retriever, gallery=gallery, is_tried=True).out_of_fold()
        evaluation_sets = (setup.evaluation_set, replace(setup.evaluation_set, query_set=tried))
        precisions = np.stack([_precision(evaluation_set, blend, progress) for evaluation_set in evaluation_sets])
    finally:
        for entry in project.cache.glob(f"*{TRIED}-*"):
            shutil.rmtree(entry, ignore_errors=True)
    before, after = (precisions @ setup.evaluation_set.weights).tolist()
    draws = Bootstrap(setup.evaluation_set).draws(precisions)
    return GalleryEffect(
        before=before, after=after, difference=after - before, interval=interval_of(draws[:, 1] - draws[:, 0])
    )


def _precision(evaluation_set: EvaluationSet, blend: Blend, progress: Progress | None) -> np.ndarray:
    """(n + m,) average precision, with the stage fitted, or rule and threshold solved, on this very set."""
    if blend.second_stage:
        prediction = predict(evaluation_set, blend, stage=SecondStage.of(evaluation_set, blend))
    else:
        certified = certify(evaluation_set, blend, progress)
        prediction = predict(evaluation_set, certified.blend, ranking=certified.ranking)
    return average_precisions(prediction.labels, evaluation_set.truth)
