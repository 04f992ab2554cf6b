"""The submission: written from the blend, and checked against every rule of the format."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cv.catalogue import IMAGE_COLUMNS, NEW_INDIVIDUAL
from cv.errors import FinblendError, shown
from cv.files import written_beside
from cv.metrics import MAX_NAMES
from cv.tables import pick_column, read_table, text_column
from ensemble.blend import Blend
from ensemble.desk import desk_of
from ensemble.evaluation import tuned_blend
from ensemble.parts import Progress
from ensemble.prediction import predict
from ensemble.project import Project, refuse_output
from ensemble.questions import questions_for_test
from ensemble.second_stage import SecondStage
from ensemble.sources import USES, Source, require_sources
from postproc import NEW, NOBODY

HEADER = ["image", "predictions"]


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
    project, blend, sources = ready_to_name(folder, output, use)
    questions = questions_for_test(project, sources, blend.whitening, use, progress, blend.applied)
    stage = SecondStage(desk_of(project, blend, progress).exam, blend, keep=True) if blend.second_stage else None
    prediction = predict(questions, blend, progress, stage, new_first)
    labels = prediction.labels
    names = project.catalogue.individuals
    rows = [
        (image, " ".join(NEW_INDIVIDUAL if label == NEW else names[label] for label in row if label != NOBODY))
        for image, row in zip(questions.images, labels.tolist(), strict=True)
    ]
    with written_beside(output) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(rows)
        check_rows(temporary, questions.images, str(output))
    return {
        "rows": len(rows),
        "new_first": float(np.mean(labels[:, 0] == NEW)),
        "output": str(output),
        "use": use,
        "recomputed": prediction.recomputed,
    }


def ready_to_name(folder: str | Path, output: Path, use: str) -> tuple[Project, Blend, dict[str, Source]]:
    """What naming test photos needs: the project, its blend and the blend's sources; what cannot be done is refused."""
    if use not in USES:
        raise FinblendError(f"--use must be one of {', '.join(USES)}, but got {use}")
    refuse_output(output)
    project = Project.open(folder)
    blend = tuned_blend(project)
    sources = require_sources(project, list(blend.weights))
    if use != "folds" and not any(sources[name].full for name in blend.used):
        raise FinblendError(f"--use {use}: no model of the blend has a --full store")
    return project, blend, sources


def check(submission: str | Path, *, sample: str | Path) -> dict[str, Any]:
    """Check a submission against every rule of the format.

    Parameters
    ----------
    submission : str or Path
    sample : str or Path
        The sample submission, or any table with the test images in order.

    Returns
    -------
    dict
        `rows, new_first` (share of rows with `new_individual` in first place).

    Raises
    ------
    FinblendError
        Names the first row (counted from 1 below the header) that breaks a rule, the value and the rule.
    """
    table, name = read_table(sample)
    images = text_column(table, pick_column(table, IMAGE_COLUMNS, name), name).to_list()
    return check_rows(Path(submission), images, str(submission))


def check_rows(path: Path, images: Sequence[str], name: str) -> dict[str, Any]:
    """Check the file at `path`, called `name` in error lines, against the images it must name."""
    expected = set(images)
    seen: set[str] = set()
    new_first, row = 0, 0
    try:
        with path.open("rb") as file:
            # decoded line by line, so that a byte that is no UTF-8 is found in its row
            reader = csv.reader((line.decode("utf-8") for line in file), strict=True)
            if next(reader, None) != HEADER:
                raise FinblendError(f"{name}: the first line must be image,predictions")
            for fields, image in itertools.zip_longest(reader, images):
                if fields is None:
                    missing = [i for i in images if i not in seen]
                    raise FinblendError(f"{name}: ends after row {row}; {shown(missing)} are missing")
                row += 1
                _check_row(f"{name}: row {row}", fields, image, expected, seen)
                seen.add(fields[0])
                new_first += fields[1].split(" ")[0] == NEW_INDIVIDUAL
    except OSError as error:
        raise FinblendError(f"{name}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FinblendError(f"{name}: row {row + 1}: is not CSV in UTF-8 ({error})") from None
    return {"rows": len(images), "new_first": new_first / max(len(images), 1)}


def _check_row(where: str, fields: list[str], image: str | None, expected: set[str], seen: set[str]) -> None:
    if len(fields) != 2:
        raise FinblendError(f"{where}: has {len(fields)} fields; a row is image,predictions")
    if fields[0] in seen:
        raise FinblendError(f"{where}: image {fields[0]} stands twice; every test image stands once")
    if fields[0] not in expected:
        raise FinblendError(f"{where}: image '{fields[0]}' is not in the sample")
    if fields[0] != image:
        raise FinblendError(f"{where}: image {fields[0]} stands where the sample has {image}; rows keep its order")
    text = fields[1]
    names = text.split(" ")
    if not text.strip():
        raise FinblendError(f"{where}: has no predictions; there must be 1 to {MAX_NAMES} names")
    if "" in names or any(name != name.strip() or len(name.split()) > 1 for name in names):
        raise FinblendError(f"{where}: '{text}': names are separated by single spaces, with none before or after")
    if len(names) > MAX_NAMES:
        raise FinblendError(f"{where}: has {len(names)} names; at most {MAX_NAMES} are allowed")
    repeated = [name for n, name in enumerate(names) if name in names[:n]]
    if repeated:
        raise FinblendError(f"{where}: {repeated[0]} stands twice; a name stands once in a row")
