"""Tune a blend: Optuna proposes weights, photos per individual, penalty; rule and threshold follow exactly."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend import Blend
from ensemble.desk import HOW, Desk, raw_share_warning, set_exam
from ensemble.exam import decided
from ensemble.prediction import ranking_of
from ensemble.project import Project
from ensemble.questions import Progress
from ensemble.study import (
    MAX_SEED,
    SAMPLERS,
    complete,
    draw,
    fixed,
    open_study,
    point,
    proposals,
    run_trial,
    score_of,
    starting_points,
)

if TYPE_CHECKING:
    import optuna


def tune(
    folder: str | Path,
    *,
    trials: int = 100,
    new_share: float | None = None,
    gallery_exponent: float | None = Mix.gallery_exponent,
    sampler: str = "tpe",
    seed: int = 0,
    timeout: float | None = None,
    models: list[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Tune the blend and write it into the project.

    Each trial draws source weights (w squared, normalised), the number of photos per individual, the species penalty
    and how much of the query's background is taken off; rule and threshold are then solved exactly. Equal weights,
    every single model and the last blend are tried first, so the result is never below them. The study lives in the
    project: with the same sources, folds and mix it goes on where it stopped.

    Parameters
    ----------
    folder : str or Path
    trials : int
        How many more trials; 0 takes the best so far.
    new_share : float, optional
        Share of strangers expected in test, in [0, 1); the raw out-of-fold share by default, which is rarely test's.
    gallery_exponent : float or None
        See `cv.Mix`.
    sampler : {"tpe", "cmaes", "random"}
    seed : int
    timeout : float, optional
        Stop drawing trials after this many seconds.
    models : list of str, optional
        Which models to blend; all by default.
    progress : callable, optional

    Returns
    -------
    dict
        `map5, threshold, rule, weights, whitening, top_photos, species_penalty, background, trials, new_trials,
        seconds, equal_weights, single_models, mix, new_first, measured, interrupted, warnings`.
    """
    started = time.monotonic()
    if sampler not in SAMPLERS:
        raise FinblendError(f"--sampler must be one of {', '.join(SAMPLERS)}, but got {sampler}")
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    if not 0 <= seed < MAX_SEED:
        raise FinblendError(f"--seed: 0 <= seed < {MAX_SEED} must hold, but got seed={seed}")
    if models is not None and (isinstance(models, str) or not models):
        raise FinblendError(f"models must be a list of at least one name, but got {models!r}")
    if timeout is not None and not timeout > 0:
        raise FinblendError(f"--timeout > 0 must hold, but got timeout={timeout}")
    project = Project.open(folder)
    mix = Mix(new_share, gallery_exponent)
    desk = set_exam(project, mix, models, progress)
    study = open_study(project, desk, mix, sampler, seed)
    before = len(complete(study))
    previous = Blend.load(project.blend_path) if project.blend_path.is_file() else None
    # an interrupted study may lack some of its starting points, and the last blend may be another study's
    tried = [trial.params for trial in complete(study)]
    foreign = previous if previous and (not before or previous.mix != mix.as_dict()) else None
    starts = [p for p in starting_points(list(desk.sources), foreign) if p not in tried]
    deadline = None if timeout is None else time.monotonic() + timeout
    interrupted = False
    scores: list[float] = []
    try:
        # the starting points always run, whatever the number of trials: they are the floor
        for n, params in enumerate(proposals(study, starts, max(trials, len(starts)), sampler, seed, scores)):
            if deadline is not None and time.monotonic() > deadline and n >= len(starts):
                break
            scores.append(run_trial(study, desk, params))
            if progress is not None:
                progress("trials", 1, max(trials, len(starts)))
    except KeyboardInterrupt:
        interrupted = True
    done = complete(study)
    if not done:
        raise FinblendError("interrupted before the first trial was done; nothing is changed")
    blend, map5 = _blend_of(study.best_trial, desk, mix, len(done))
    blend.save(project.blend_path)
    singles = {name: score_of(study, desk, point([name], list(desk.sources))) for name in desk.sources}
    return {
        "map5": map5,
        "threshold": blend.threshold,
        "rule": blend.rule,
        "weights": blend.weights,
        "whitening": blend.whitening,
        "top_photos": blend.top_photos,
        "species_penalty": blend.species_penalty,
        "background": blend.background,
        "trials": len(done),
        "new_trials": len(done) - before,
        "seconds": time.monotonic() - started,
        "equal_weights": score_of(study, desk, point(list(desk.sources), list(desk.sources))),
        "single_models": singles,
        "mix": mix.as_dict(),
        "new_first": blend.measured["new_first"],
        "measured": HOW,
        "interrupted": interrupted,
        "warnings": [raw_share_warning(desk.exam)] if new_share is None else [],
    }


def _blend_of(best: optuna.trial.FrozenTrial, desk: Desk, mix: Mix, trials: int) -> tuple[Blend, float]:
    drawn, map5 = decided(desk.exam, draw(fixed(best.params), desk))
    new_first = desk.exam.share_of_new(ranking_of(desk.exam.questions, drawn), drawn)
    blend = replace(
        drawn,
        mix=mix.as_dict(),
        measured={"map5": map5, "new_first": new_first, "how": HOW, "trials": trials},
        contents={name: source.out_of_fold_contents() for name, source in desk.sources.items()},
    )
    return blend, map5
