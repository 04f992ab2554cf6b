"""The submission: written from the blend, and checked against every rule of the format."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.files import written_beside
from ensemble.identification.prediction import predict
from ensemble.identification.scored_blend import stage_of
from ensemble.outputs.check import HEADER, check_rows
from ensemble.outputs.ready import ready_to_name
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.setup import neighbour_warnings
from postproc import NEW, NOBODY


@dataclass(frozen=True, kw_only=True)
class SubmitResult(Result):
    """A submission that was written.

    Attributes
    ----------
    rows : int
    new_first : float
        Share of rows with `new_individual` in first place.
    output : str
    use : str
    recomputed : int
        Photos whose list the candidates left open, so that they were compared with the whole gallery.
    warnings : list of str
    """

    rows: int
    new_first: float
    output: str
    use: str
    recomputed: int
    warnings: list[str]


def submit(
    folder: str | Path,
    output: str | Path,
    *,
    use: str = "folds",
    new_first: float | None = None,
    progress: Progress | None = None,
) -> SubmitResult:
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
    """
    if new_first is not None and not 0 <= new_first <= 1:
        raise FinblendError(f"--new-first: 0 <= new_first <= 1 must hold, but got new_first={new_first}")
    output = Path(output)
    ready = ready_to_name(folder, output, use, progress)
    stage = stage_of(ready.setup, ready.blend) if ready.blend.second_stage else None
    prediction = predict(ready.test_queries, ready.blend, stage=stage, new_first=new_first, progress=progress)
    names, images = ready.project.catalogue.individuals, ready.test_queries.images
    rows = [
        (image, " ".join(NEW_INDIVIDUAL if label == NEW else names[label] for label in row if label != NOBODY))
        for image, row in zip(images, prediction.labels.tolist(), strict=True)
    ]
    with written_beside(output) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(rows)
        check_rows(temporary, images, str(output))
    return SubmitResult(
        rows=len(rows),
        new_first=float(np.mean(prediction.labels[:, 0] == NEW)),
        output=str(output),
        use=use,
        recomputed=prediction.rescored,
        warnings=neighbour_warnings(ready.setup),
    )
