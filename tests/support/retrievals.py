"""Retrievers and set-ups with nothing chosen, and what answers to a ranking are worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble import Blend, Project
from ensemble.identification.prediction import predict
from ensemble.project.pseudo_rounds import GalleryAdditions, gallery_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup, setup_with
from ensemble.registry.left_out import left_out_by
from ensemble.registry.models import require_models
from ensemble.retrieval.retriever import Retriever
from postproc import Ranking


def retriever_with(
    project: Path | Project,
    names: list[str] | None = None,
    *,
    whitening: Mapping[str, str] | None = None,
    leave_out: str | None = None,
    tried: GalleryAdditions | None = None,
) -> Retriever:
    """The models as they are unless a whitening is given, and the gallery merged or one that is tried."""
    opened = Project.open(project) if isinstance(project, Path) else project
    models = require_models(opened, names)
    return Retriever(
        project=opened,
        models=models,
        whitening={**dict.fromkeys(models, "none"), **(whitening or {})},
        leave_out=left_out_by(opened, leave_out, models),
        gallery=gallery_of(opened) if tried is None else tried,
        is_tried=tried is not None,
    )


def unwhitened(
    project: Path | Project,
    mix: Mix,
    names: list[str] | None = None,
    *,
    whitening: Mapping[str, str] | None = None,
    leave_out: str | None = None,
) -> Setup:
    """The set-up in which no whitening was chosen."""
    return setup_with(retriever_with(project, names, whitening=whitening, leave_out=leave_out), mix)


def precisions_of(evaluation_set: EvaluationSet, ranking: Ranking, blend: Blend) -> np.ndarray:
    """(n + m,) average precision of what a blend answers from its ranking, at its own decision."""
    return average_precisions(predict(evaluation_set, blend, ranking=ranking).labels, evaluation_set.truth)
