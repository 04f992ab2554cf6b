"""Compare two blends photo by photo: a paired difference of out-of-fold MAP@5, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.comparison.compared import ComparedBlend, answered, common_exam, desks_of, matched_rows, sat_by, sides_of
from ensemble.comparison.differences import differing_photos
from ensemble.project.progress import Progress
from ensemble.protocol.bootstrap import FEWEST, Bootstrap, interval_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.scores import mean_of
from ensemble.protocol.setup import Setup, mix_warnings, read_setup
from ensemble.tuning.nested import HOW as HOW_NESTED
from ensemble.tuning.nested import TRIALS, nested_score
from postproc import NEW

PHOTOS = 10
HOW_PAIRED = (
    "paired: both on the same out-of-fold photos with the same weights, those of the mix of {whose}; intervals and "
    "shares by the same drawn catalogues for both (bootstrap over individuals)"
)
SEEN = (
    "both blends' weights have seen the photos they are scored on, and who tried more has adapted more; --nested "
    "compares them on photos that no choice was made on"
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
    images: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare what two blends answer to the same out-of-fold photos.

    Parameters
    ----------
    first : str or Path
        A project with a blend.
    second : str or Path, optional
        Another project of the same photos and folds.
    blend : str or Path, optional
        Instead of `second`, another blend of this project, such as it had before: that is the first side then, the
        project's own blend the second. Two projects are scored in the mix of the first, blends in the project's own.
    photos : int
        How many of the photos to list on which either is better.
    nested : bool
        Also tune both without each fold in turn and compare them on the folds: `ensemble.tuning.nested`.
    nested_trials, seed : int
        Trials per fold, and the seed of their sampler, the same for both.
    output : str or Path, optional
        An HTML page to write.
    images : str or Path, optional
        The folder of the photos, for the page.
    progress : callable, optional

    Returns
    -------
    dict
        `first, second` (a dict each: `name, folder, models, second_stage, map5, known, new, interval, measured,
        nested`, the last as its own `tune` found it), `difference` (second minus first) with `interval` (95 %),
        `second_better, first_better, equal` (shares of drawn catalogues), `known, new` (`share` of the mix, `first,
        second, difference, interval`), `species` (the same with `species, photos`), `photos` (`compared, second_better,
        first_better, same`: numbers; `most`: the photos that move the score most, by weight times difference, each
        with `image, truth, individual, plays_stranger, species, fold, weight` and for `first` and `second` `place` of
        the truth, `precision, answers` and the gallery `photos` of the answers), `nested` (None, or `first, second,
        difference, interval, second_better, first_better, equal, measured`), `mix, measured, warnings`.

    Raises
    ------
    FinblendError
        If the two cannot be compared photo by photo: `ensemble.comparison.compared.matched_rows`.
    """
    if nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    if photos < 0:
        raise FinblendError(f"--photos >= 0 must hold, but got photos={photos}")
    if images is not None and output is None:
        raise FinblendError("--images: the photos are for the page; name it with -o compare.html")
    if output is not None:
        from ensemble.report.page.html import refuse_page

        refuse_page(Path(output), None if images is None else Path(images))
    sides = sides_of(first, second, blend)
    row = matched_rows(sides[0].project, sides[1].project)
    if nested:
        _refuse_same(sides)
    setups = desks_of(sides, progress)
    # a kept blend may have been tuned for a share that is known better since
    whose = sides[0] if blend is None else sides[1]
    mix = Mix(**whose.blend.mix)
    sat = setups[0] if blend is None else replace(setups[0], evaluation_set=setups[0].in_mix(mix))
    evaluation_set = common_exam(sat, setups[1], mix)
    evaluation_sets = evaluation_set, sat_by(setups[1], evaluation_set, row)
    answers = [answered(*three, progress) for three in zip(sides, setups, evaluation_sets, strict=True)]
    precision = np.stack([one.precision for one in answers])
    catalogue = sides[0].project.catalogue
    bootstrap = Bootstrap(evaluation_set, catalogue.labels)
    draws = bootstrap.draws(precision)
    told = [_side(*one) for one in zip(sides, precision, draws.T, [evaluation_set] * 2, strict=True)]
    new = evaluation_set.truth == NEW
    own = catalogue.species_of_individual[catalogue.labels]
    species = np.append(own[evaluation_set.rows], own[evaluation_set.hidden])
    known, strangers = _parts(evaluation_set, bootstrap, precision, new.astype(np.int64), 2)
    of_species = _parts(evaluation_set, bootstrap, precision, species, len(catalogue.species))
    report = {
        "first": told[0],
        "second": told[1],
        **_overall(draws, evaluation_set, precision),
        "known": known,
        "new": strangers,
        "species": [
            {"species": name, "photos": int((own == one).sum()), **task}
            for one, (name, task) in enumerate(zip(catalogue.species, of_species, strict=True))
            if (own == one).any()
        ],
        "photos": differing_photos(sides, evaluation_sets, answers, photos),
        "nested": _nested(sides, mix, evaluation_set, row, (nested_trials, seed), progress) if nested else None,
        "mix": mix.as_dict(),
        "measured": HOW_PAIRED.format(whose=whose.name),
        "warnings": mix_warnings(sat, mix) + _warnings(sides, setups, whose, nested),
    }
    if output is not None:
        from ensemble.comparison.page import write_comparison

        write_comparison(report, sides, output, None if images is None else Path(images))
    return report


def _side(
    side: ComparedBlend, precision: np.ndarray, draws: np.ndarray, evaluation_set: EvaluationSet
) -> dict[str, Any]:
    weights, new = evaluation_set.weights, evaluation_set.truth == NEW
    return {
        "name": side.name,
        "folder": str(side.project.folder),
        "models": [name for name, weight in side.blend.weights.items() if weight > 0],
        "second_stage": side.blend.second_stage,
        "map5": float(weights @ precision),
        "known": mean_of(precision, weights, ~new),
        "new": mean_of(precision, weights, new),
        "interval": interval_of(draws),
        "measured": side.measured,
        "nested": _own_nested(side.blend),
    }


def _own_nested(blend: Blend) -> dict[str, Any] | None:
    """The honest score that `tune` left with a blend."""
    found = blend.measured.get("nested")
    return {key: found.get(key) for key in ("map5", "interval", "prediction")} if found else None


def _overall(draws: np.ndarray, evaluation_set: EvaluationSet, precision: np.ndarray) -> dict[str, Any]:
    gained = draws[:, 1] - draws[:, 0]
    # what differs by rounding only is equal
    return {
        "difference": float(evaluation_set.weights @ (precision[1] - precision[0])),
        "interval": interval_of(gained),
        "second_better": float((gained > 1e-12).mean()),
        "first_better": float((gained < -1e-12).mean()),
        "equal": float((np.abs(gained) <= 1e-12).mean()),
    }


def _parts(
    evaluation_set: EvaluationSet, bootstrap: Bootstrap, precision: np.ndarray, group: np.ndarray, groups: int
) -> list[dict[str, Any]]:
    """Scores over some photos only; no interval where so few individuals could not tell one."""
    draws = bootstrap.grouped(precision, group, groups)
    individuals = bootstrap.individuals(group, groups)
    found = []
    for one in range(groups):
        task = group == one
        first, second = (mean_of(row, evaluation_set.weights, task) for row in precision)
        found.append(
            {
                "share": float(evaluation_set.weights[task].sum()),
                "first": first,
                "second": second,
                "difference": second - first if first is not None and second is not None else None,
                "interval": interval_of(draws[:, one, 1] - draws[:, one, 0]) if individuals[one] >= FEWEST else None,
            }
        )
    return found


def _refuse_same(sides: Sequence[ComparedBlend]) -> None:
    """Nested, the whole tuning is compared: of one project with the same models it is the same tuning twice."""
    one, two = (side.blend for side in sides)
    if sides[0].project.folder == sides[1].project.folder and _tuned_by(one) == _tuned_by(two):
        raise FinblendError(
            f"--nested: {sides[0].name} and {sides[1].name} are tuned on the same models with the same operators: "
            "tuned anew without each fold they would be one and the same blend"
        )


def _tuned_by(blend: Blend) -> tuple[list[str], tuple[str, ...]]:
    return sorted(blend.weights), blend.operators_tried


def _nested(
    sides: Sequence[ComparedBlend],
    mix: Mix,
    evaluation_set: EvaluationSet,
    row: np.ndarray,
    how: tuple[int, int],
    progress: Progress | None,
) -> dict[str, Any]:
    """Both tuned without each fold in turn by (trials, seed), in the same mix, and scored on the folds."""
    found = []
    for side, rows in zip(sides, (np.arange(len(row)), row), strict=True):
        blend = side.blend
        setup = read_setup(side.project, mix, list(blend.weights), progress, wanted=blend.operators_tried)
        score = nested_score(side.project, setup, mix, trials=how[0], seed=how[1], progress=progress)
        own = np.full((2, len(row)), np.nan)
        own[0, score.evaluation_set.rows] = score.blend[: len(score.evaluation_set.rows)]
        own[1, score.evaluation_set.hidden] = score.blend[len(score.evaluation_set.rows) :]
        found.append(np.append(own[0, rows[evaluation_set.rows]], own[1, rows[evaluation_set.hidden]]))
    precision = np.stack(found)
    draws = Bootstrap(evaluation_set, sides[0].project.catalogue.labels).draws(precision)
    means = precision @ evaluation_set.weights
    scores = {"first": float(means[0]), "second": float(means[1])}
    return {**scores, **_overall(draws, evaluation_set, precision), "measured": HOW_NESTED}


def _warnings(sides: Sequence[ComparedBlend], setups: Sequence[Setup], whose: ComparedBlend, nested: bool) -> list[str]:
    one, two = sides
    found = one.blend.changed(one.name) + two.blend.changed(two.name)
    if not nested:
        found.append(SEEN)
    if one.blend.second_stage != two.blend.second_stage:
        plain, staged = (two, one) if one.blend.second_stage else (one, two)
        found.append(
            f"{plain.name}'s rule and threshold have seen the photos they are scored on, {staged.name}'s second stage "
            "has not: the comparison favours the former a little"
        )
    if one.blend.mix != two.blend.mix:
        other = one if whose is two else two
        found.append(f"{other.name} was tuned for another mix ({_told_mix(other)}); both are scored in {whose.name}'s")
    if setups[0].evaluation_set.query_set.can_hide and not setups[1].evaluation_set.query_set.can_hide:
        found.append(
            f"{two.name} has networks trained on this catalogue, so that no known photo can play the stranger a second "
            "time: only photos as they are are compared"
        )
    if one.blend.gallery != two.blend.gallery:
        found.append(
            "pseudo-labels are in the gallery of one and not in the other's, or others: their galleries differ"
        )
    return found


def _told_mix(side: ComparedBlend) -> str:
    mix = Mix(**side.blend.mix)
    share = "per species" if isinstance(mix.new_share, Mapping) else "raw" if mix.new_share is None else mix.new_share
    return f"share of strangers {share}, gallery mix {'raw' if mix.gallery_exponent is None else mix.gallery_exponent}"
