"""The submission: written from the blend, and checked against every rule of the format."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.files import written_beside
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.outputs.check import HEADER, check_rows
from ensemble.outputs.ready import ready_to_name
from ensemble.project.progress import Progress
from ensemble.protocol.setup import setup_of_blend
from ensemble.retrieval.query_set import queries_of_test
from postproc import NEW, NOBODY


def submit(
    folder: str | Path,
    output: str | Path,
    *,
    use: str = "folds",
    new_first: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Name every test photo by the tuned blend and write the submission.

    Parameters
    ----------
    folder : str or Path
    output : str or Path
        Where `image,predictions` is written, in the sample's order.
    use : {"folds", "full", "both"}
        Which stores of a trained model name test photos: its folds' (cosines averaged), its full one, or all.
    new_first : float, optional
        Share of the test photos that shall have `new_individual` in first place, in [0, 1]. What was predicted of the
        blend does not hold for such answers. By default what was tuned decides.
    progress : callable, optional

    Returns
    -------
    dict
        `rows, new_first, output, use, recomputed` (photos whose list the candidates left open, so that they were
        compared with the whole gallery).
    """
    if new_first is not None and not 0 <= new_first <= 1:
        raise FinblendError(f"--new-first: 0 <= new_first <= 1 must hold, but got new_first={new_first}")
    output = Path(output)
    project, blend, models = ready_to_name(folder, output, use)
    query_set = queries_of_test(project, models, blend.whitening, use, progress, blend.applied)
    stage = (
        SecondStage(setup_of_blend(project, blend, progress).evaluation_set, blend, keep=True)
        if blend.second_stage
        else None
    )
    prediction = predict(query_set, blend, progress, stage, new_first)
    labels = prediction.labels
    names = project.catalogue.individuals
    rows = [
        (image, " ".join(NEW_INDIVIDUAL if label == NEW else names[label] for label in row if label != NOBODY))
        for image, row in zip(query_set.images, labels.tolist(), strict=True)
    ]
    with written_beside(output) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(rows)
        check_rows(temporary, query_set.images, str(output))
    return {
        "rows": len(rows),
        "new_first": float(np.mean(labels[:, 0] == NEW)),
        "output": str(output),
        "use": use,
        "recomputed": prediction.recomputed,
    }
