"""Decisions for people: who is on each test photo with which probability, and which photos a person should look at."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL
from cv.files import written_beside
from ensemble.identification.posteriors import Answers
from ensemble.identification.scored_blend import posterior_model_of
from ensemble.outputs.bands import BANDS, PRECISION, CrossFittedAnswers, band_of, check_precision, first_name
from ensemble.outputs.ready import ready_to_name
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.registry.left_out import how_asked
from ensemble.retrieval.query_set import QuerySet
from postproc import NEW, NOBODY
from postproc.calibration.calibration import calibration_error, estimate_new_share

HOW = (
    "probabilities and bands cross-fitted: each fold's photos by what was fitted on the other folds, weighted to the "
    "stated mix; the blend's weights have seen all folds"
)


@dataclass(frozen=True)
class BandResult(Result):
    """One band: its share of the test photos; its share and how often first answers are right, both out-of-fold."""

    share: float | None
    expected_share: float
    right: float | None


@dataclass(frozen=True)
class Thresholds(Result):
    """From which probability of the first answer on a band begins; None where there is no such band."""

    auto: float | None
    new: float | None


@dataclass(frozen=True)
class CalibrationErrors(Result):
    """Expected calibration errors of the first name and of somebody new, out-of-fold."""

    same: float
    new: float


@dataclass(frozen=True)
class NewShares(Result):
    """The share of strangers that was assumed, and the one that the test photos' own probabilities suggest."""

    assumed: float
    estimated: float | None


@dataclass(frozen=True, kw_only=True)
class DecideResult(Result):
    """Decisions that were written.

    Attributes
    ----------
    rows : int
    output : str
    precision : float
    bands : mapping of str to BandResult
        `auto`, `review`, `new`.
    thresholds : Thresholds
    calibration : CalibrationErrors
    new_share : NewShares
    mix : mapping
    measured : str
    warnings : list of str
    """

    rows: int
    output: str
    precision: float
    bands: Mapping[str, BandResult]
    thresholds: Thresholds
    calibration: CalibrationErrors
    new_share: NewShares
    mix: Mapping[str, Any]
    measured: str
    warnings: list[str]


def decide(
    folder: str | Path,
    output: str | Path,
    *,
    precision: float = PRECISION,
    use: str = "folds",
    progress: Progress | None = None,
) -> DecideResult:
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
    """
    check_precision(precision)
    output = Path(output)
    ready = ready_to_name(folder, output, use, progress)
    evaluation_set = ready.setup.evaluation_set
    posterior_model = posterior_model_of(evaluation_set, ready.blend, progress)
    out_of_fold, test = posterior_model.posteriors(evaluation_set), posterior_model.posteriors(ready.test_queries)
    cross_fitted, answers = CrossFittedAnswers.of(evaluation_set, out_of_fold), Answers.of(test)
    bands = cross_fitted.bands(precision)
    band = band_of(answers, bands)
    _write(output, ready.test_queries, answers, band)
    assumed = evaluation_set.new_share
    return DecideResult(
        rows=len(band),
        output=str(output),
        precision=precision,
        bands={
            name: BandResult(float((band == n).mean()) if len(band) else None, *expected)
            for n, (name, expected) in enumerate(cross_fitted.expected(precision).items())
        },
        thresholds=Thresholds(*(cut if np.isfinite(cut) else None for cut in (bands.auto, bands.new))),
        calibration=CalibrationErrors(
            calibration_error(*first_name(out_of_fold, evaluation_set.truth), evaluation_set.weights),
            calibration_error(out_of_fold.somebody_new, evaluation_set.is_new, evaluation_set.weights),
        ),
        new_share=NewShares(assumed, estimate_new_share(test.somebody_new, assumed) if 0 < assumed < 1 else None),
        mix=ready.blend.mix.as_dict(),
        measured=how_asked(HOW, ready.blend.leave_out),
        warnings=ready.setup.warnings(),
    )


def _write(output: Path, query_set: QuerySet, given: Answers, band: np.ndarray) -> None:
    images, names, photos = query_set.images, query_set.catalogue.individuals, query_set.tasks[0].gallery_images
    header = ["image", "band", *(f"{what}_{k}" for k in range(1, 6) for what in ("name", "probability", "photo"))]
    with written_beside(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        columns = (array.tolist() for array in (given.labels, given.probability, given.photo))
        for image, band_of_image, *answers in zip(images, band.tolist(), *columns, strict=True):
            cells: list[str] = []
            for label, probability, photo in zip(*answers, strict=True):
                if label == NOBODY:
                    cells += ["", "", ""]
                elif label == NEW:
                    cells += [NEW_INDIVIDUAL, f"{probability:.6f}", ""]
                else:
                    cells += [names[label], f"{probability:.6f}", photos[photo]]
            writer.writerow([image, BANDS[band_of_image], *cells])
