"""Compare two blends photo by photo: a paired difference of out-of-fold MAP@5, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.comparison.compared import (
    ComparedBlend,
    asked_alike,
    blend_answers,
    common_evaluation_set,
    compared_blends,
    matched_evaluation_set,
    matched_rows,
    setups_of,
)
from ensemble.comparison.differences import differing_photos, group_differences, paired_difference
from ensemble.comparison.page import write_comparison
from ensemble.comparison.result import BlendScores, ComparisonResult, NestedDifference, SpeciesDifference
from ensemble.comparison.warnings import comparison_warnings
from ensemble.project.outputs import refuse_output
from ensemble.project.progress import Progress
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.scores import mean_of
from ensemble.protocol.setup import mix_warnings, read_setup
from ensemble.registry.left_out import how_asked
from ensemble.report.page.album import photo_folders
from ensemble.tuning.nested import TRIALS, nested_score
from ensemble.tuning.nested_result import HOW as HOW_NESTED

PHOTOS = 10
HOW_PAIRED = (
    "paired: both on the same out-of-fold photos with the same weights, those of the mix of {whose}; intervals and "
    "shares by the same drawn catalogues for both (bootstrap over individuals)"
)


def compare(
    first: str | Path,
    second: str | Path | None = None,
    *,
    blend: str | Path | None = None,
    photos: int = PHOTOS,
    nested: bool = False,
    nested_trials: int = TRIALS,
    seed: int = 0,
    output: str | Path | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare what two blends answer to the same out-of-fold photos.

    Parameters
    ----------
    first : str or Path
        A project with a blend.
    second : str or Path, optional
        Another project of the same photos and folds.
    blend : str or Path, optional
        Instead of `second`, another blend of this project, such as it had before: that is the first then, the
        project's own blend the second. Two projects are scored in the mix of the first, blends in the project's own.
    photos : int
        How many of the photos to list on which either is better.
    nested : bool
        Also tune both without each fold in turn and compare them on the folds: `ensemble.tuning.nested`.
    nested_trials, seed : int
        Trials per fold, and the seed of their sampler, the same for both.
    output : str or Path, optional
        An HTML page to write.
    images : str or Path, or several, optional
        The folders of the photos, for the page.
    progress : callable, optional

    Returns
    -------
    ComparisonResult
        Scores of either, their paired difference over all photos, over known and new ones and per species, the photos
        that move the score most, and what to be careful with.

    Raises
    ------
    FinblendError
        If the two cannot be compared photo by photo: `ensemble.comparison.compared.matched_rows`.
    """
    folders = _check_arguments(photos, nested_trials, output, images)
    pair = compared_blends(first, second, blend)
    row = matched_rows(pair[0].project, pair[1].project)
    pair = asked_alike(pair, row)
    if nested:
        _refuse_same(pair)
    setups = setups_of(pair, progress)
    # a kept blend may have been tuned for a share that is known better since
    reference = pair[0] if blend is None else pair[1]
    mix = reference.blend.mix
    first_setup = setups[0] if blend is None else setups[0].in_mix(mix)
    evaluation_set = common_evaluation_set(first_setup, setups[1])
    evaluation_sets = evaluation_set, matched_evaluation_set(setups[1], evaluation_set, row)
    answers = [blend_answers(*each, progress) for each in zip(pair, setups, evaluation_sets, strict=True)]
    precision = np.stack([each.precision for each in answers])
    catalogue = pair[0].project.catalogue
    bootstrap = Bootstrap(evaluation_set)
    draws = bootstrap.draws(precision)
    scores = [_scores(*each, evaluation_set) for each in zip(pair, precision, draws.T, strict=True)]
    species = catalogue.species_of_individual[evaluation_set.owner]
    is_new = evaluation_set.is_new.astype(np.int64)
    known, new = group_differences(evaluation_set, bootstrap, precision, is_new, 2)
    of_species = group_differences(evaluation_set, bootstrap, precision, species, len(catalogue.species))
    train_photos = np.bincount(catalogue.species_of_individual[catalogue.labels], minlength=len(catalogue.species))
    result = ComparisonResult(
        first=scores[0],
        second=scores[1],
        **paired_difference(draws, evaluation_set, precision).as_dict(),
        known=known,
        new=new,
        species=[
            SpeciesDifference(species=name, photos=int(count), **group.as_dict())
            for name, count, group in zip(catalogue.species, train_photos, of_species, strict=True)
            if count
        ],
        photos=differing_photos(pair, evaluation_sets, answers, photos),
        nested=_nested(pair, mix, evaluation_set, row, nested_trials, seed, progress) if nested else None,
        mix=mix,
        measured=HOW_PAIRED.format(whose=reference.name),
        warnings=mix_warnings(first_setup) + comparison_warnings(pair, setups, reference, nested),
    )
    if output is not None:
        write_comparison(result, pair[0].project, output, folders)
    return result


def _check_arguments(
    photos: int,
    nested_trials: int,
    output: str | Path | None,
    images: str | Path | Sequence[str | Path] | None,
) -> tuple[Path, ...]:
    """The folders of photos; before anything is computed, what is wrong with the arguments."""
    if nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    if photos < 0:
        raise FinblendError(f"--photos >= 0 must hold, but got photos={photos}")
    if images and output is None:
        raise FinblendError("--images: the photos are for the page; name it with -o compare.html")
    if output is not None:
        refuse_output(Path(output))
    return photo_folders(images)


def _scores(
    compared: ComparedBlend, precision: np.ndarray, draws: np.ndarray, evaluation_set: EvaluationSet
) -> BlendScores:
    weights, is_new = evaluation_set.weights, evaluation_set.is_new
    nested = compared.blend.measured.get("nested")
    return BlendScores(
        name=compared.name,
        folder=compared.project.folder,
        models=[name for name, weight in compared.blend.weights.items() if weight > 0],
        second_stage=compared.blend.second_stage,
        map5=float(weights @ precision),
        known=mean_of(precision, weights, ~is_new),
        new=mean_of(precision, weights, is_new),
        interval=interval_of(draws),
        measured=compared.measured,
        nested={key: nested.get(key) for key in ("map5", "interval", "prediction")} if nested else None,
    )


def _refuse_same(pair: Sequence[ComparedBlend]) -> None:
    """Nested, the whole tuning is compared: of one project with the same models it is the same tuning twice."""
    first, second = pair
    sources = [(each.blend.weights.keys(), each.blend.pair_sources.keys()) for each in pair]
    if first.project.folder == second.project.folder and sources[0] == sources[1]:
        raise FinblendError(
            f"--nested: {first.name} and {second.name} are tuned on the same models: tuned anew without each "
            "fold they would be one and the same blend"
        )


def _nested(
    pair: Sequence[ComparedBlend],
    mix: Mix,
    evaluation_set: EvaluationSet,
    row: np.ndarray,
    trials: int,
    seed: int,
    progress: Progress | None,
) -> NestedDifference:
    """Both tuned without each fold in turn, in the same mix, and scored on the folds."""
    precisions = []
    for compared, rows in zip(pair, (np.arange(len(row)), row), strict=True):
        models, pairs = list(compared.blend.weights), list(compared.blend.pair_sources)
        setup = read_setup(
            compared.project,
            mix,
            models,
            pairs=pairs,
            leave_out=compared.blend.leave_out,
            neighbours=compared.blend.neighbours,
            progress=progress,
        )
        score = nested_score(setup, trials=trials, seed=seed, progress=progress)
        nested_set = score.evaluation_set
        # by train photo: as it is, and playing the stranger
        as_is, as_stranger = np.full((2, len(row)), np.nan)
        as_is[nested_set.queries] = score.blend[~nested_set.is_simulated]
        as_stranger[nested_set.simulated_new] = score.blend[nested_set.is_simulated]
        matched = rows[evaluation_set.row]
        precisions.append(np.where(evaluation_set.is_simulated, as_stranger[matched], as_is[matched]))
    precision = np.stack(precisions)
    draws = Bootstrap(evaluation_set).draws(precision)
    first, second = (float(mean) for mean in precision @ evaluation_set.weights)
    difference = paired_difference(draws, evaluation_set, precision)
    return NestedDifference(
        first=first, second=second, **difference.as_dict(), measured=how_asked(HOW_NESTED, pair[0].blend.leave_out)
    )
