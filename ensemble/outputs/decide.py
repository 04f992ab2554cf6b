"""Decisions for people: who is on each test photo with which probability, and which photos a person should look at."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from cv.files import written_beside
from cv.mix import Mix
from ensemble.identification.posteriors import Answers, posterior_model_of
from ensemble.outputs.bands import BANDS, PRECISION, CrossFittedAnswers, band_of, check_precision, first_name
from ensemble.outputs.ready import ready_to_name
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.setup import mix_warnings, setup_of_blend
from ensemble.retrieval.query_set import QuerySet, queries_of_test
from postproc import NEW, NOBODY
from postproc.calibration.calibration import calibration_error, estimate_new_share

HOW = (
    "probabilities and bands cross-fitted: each fold's photos by what was fitted on the other folds, weighted to the "
    "stated mix; the blend's weights have seen all folds"
)


def decide(
    folder: str | Path,
    output: str | Path,
    *,
    precision: float = PRECISION,
    use: str = "folds",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write for every test photo its names with calibrated probabilities, and its band.

    `auto`: the first name may be taken as it is, `new`: so may the answer that it is somebody new, `review`: a person
    should look. Names stand by falling probability, which maximises the expected MAP@5.

    Parameters
    ----------
    folder : str or Path
    output : str or Path
        CSV with `image, band`, then `name_k, probability_k, photo_k` for k = 1 to 5: the name, its probability and
        the gallery photo most like the query. `new_individual` has no photo. What is missing to 1 is the probability
        of somebody known who is not among the names.
    precision : float
        Wanted precision of the first answer in the bands `auto` and `new`, in (0, 1).
    use : {"folds", "full", "both"}
        As of `submit`.
    progress : callable, optional

    Returns
    -------
    dict
        `rows, output, precision, bands` (per band: `share` of the test photos, `expected_share` and `right`, the
        share of right first answers, both out-of-fold), `thresholds`, `calibration` (expected calibration errors of
        the first name and of somebody new), `new_share` (`assumed`, and `estimated` from the test photos' own
        probabilities), `mix, measured, warnings`.
    """
    check_precision(precision)
    output = Path(output)
    project, blend, models = ready_to_name(folder, output, use)
    mix = Mix(**blend.mix)
    setup = setup_of_blend(project, blend, progress)
    evaluation_set = setup.evaluation_set
    query_set = queries_of_test(project, models, blend.whitening, use, progress, blend.applied)
    posterior_model = posterior_model_of(evaluation_set, blend, progress)
    named, test = posterior_model.out_of_fold(), posterior_model.of_test(query_set, progress)
    sat, given = CrossFittedAnswers.of(evaluation_set, named), Answers.of(test)
    bands = sat.bands(precision)
    given_band = band_of(given, bands)
    _write(output, project, query_set, given, given_band)
    prior = float(evaluation_set.weights[evaluation_set.truth == NEW].sum())
    return {
        "rows": len(given_band),
        "output": str(output),
        "precision": precision,
        "bands": {
            name: {"share": float((given_band == n).mean()) if len(given_band) else None, **told}
            for n, (name, told) in enumerate(sat.expected(precision).items())
        },
        "thresholds": {
            "auto": bands.auto if np.isfinite(bands.auto) else None,
            "new": bands.new if np.isfinite(bands.new) else None,
        },
        "calibration": {
            "same": calibration_error(*first_name(named, evaluation_set.truth), evaluation_set.weights),
            "new": calibration_error(named.somebody_new, evaluation_set.truth == NEW, evaluation_set.weights),
        },
        "new_share": {
            "assumed": prior,
            "estimated": estimate_new_share(test.somebody_new, prior) if 0 < prior < 1 else None,
        },
        "mix": mix.as_dict(),
        "measured": HOW,
        "warnings": mix_warnings(setup, mix),
    }


def _write(output: Path, project: Project, query_set: QuerySet, given: Answers, band: np.ndarray) -> None:
    images, names, photos = query_set.images, project.catalogue.individuals, query_set.tasks[0].gallery_images
    header = ["image", "band", *(f"{what}_{k}" for k in range(1, 6) for what in ("name", "probability", "photo"))]
    with written_beside(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        columns = (a.tolist() for a in (given.labels, given.probability, given.photo))
        for image, own, *answers in zip(images, band.tolist(), *columns, strict=True):
            cells: list[str] = []
            for label, probability, photo in zip(*answers, strict=True):
                if label == NOBODY:
                    cells += ["", "", ""]
                elif label == NEW:
                    cells += [NEW_INDIVIDUAL, f"{probability:.6f}", ""]
                else:
                    cells += [names[label], f"{probability:.6f}", photos[photo]]
            writer.writerow([image, BANDS[own], *cells])
