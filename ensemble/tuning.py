"""Tune a blend: Optuna over weights, photos per individual and species penalty; rule and threshold exactly in each trial."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend import Blend
from ensemble.exam import Exam, decided, sit
from ensemble.prediction import ranking_of
from ensemble.project import Project
from ensemble.questions import NEAREST, Progress, out_of_fold_questions, test_questions
from ensemble.sources import Source, require_sources
from ensemble.whitening import choose_whitening

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "cmaes", "random")
MAX_TOP_PHOTOS = 3
MAX_BACKGROUND = 1.5
HOW = (
    "in-sample: tuned and scored on the same out-of-fold photos, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)


@dataclass(frozen=True)
class Desk:
    """What tuning and evaluating need: the sources, their whitening, the exam."""

    sources: Mapping[str, Source]
    whitening: Mapping[str, str]
    exam: Exam


def set_exam(
    project: Project, mix: Mix, names: list[str] | None = None, progress: Progress | None = None,
    whitening: Mapping[str, str] | None = None,
) -> Desk:
    """Compute the evidence and set the exam in the stated mix."""
    sources = require_sources(project, names)
    kinds = choose_whitening(project, sources, progress) if whitening is None else whitening
    questions = out_of_fold_questions(project, sources, kinds, progress)
    test = test_questions(project, sources, kinds, progress=progress)
    species = np.bincount(test.species, minlength=test.doubt.shape[1]) / len(test.species)
    return Desk(sources, kinds, sit(questions, mix, species if mix.gallery_exponent is not None else None))


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
    and how much of the query's background is taken off; rule and threshold are then solved exactly. Equal weights, every single model and the last blend are tried
    first, so the result is never below them. The study lives in the project: with the same sources, folds and mix it
    goes on where it stopped.

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
        `map5, threshold, rule, weights, whitening, top_photos, species_penalty, background, trials, new_trials, seconds,
        equal_weights, single_models, mix, measured, interrupted, warnings`.
    """
    started = time.monotonic()
    if sampler not in SAMPLERS:
        raise FinblendError(f"--sampler must be one of {', '.join(SAMPLERS)}, but got {sampler}")
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    if timeout is not None and not timeout > 0:
        raise FinblendError(f"--timeout > 0 must hold, but got timeout={timeout}")
    project = Project.open(folder)
    mix = Mix(new_share, gallery_exponent)
    desk = set_exam(project, mix, models, progress)
    study = _study(project, desk, mix, sampler, seed)
    before = len(_complete(study))
    previous = Blend.load(project.blend_path) if project.blend_path.is_file() else None
    starts = [] if before else list(_starting_points(list(desk.sources), previous))
    deadline = None if timeout is None else time.monotonic() + timeout
    interrupted = False
    try:
        # the starting points always run, whatever the number of trials: they are the floor
        for n, params in enumerate(_proposals(study, starts, max(trials, len(starts)), sampler, seed)):
            if deadline is not None and time.monotonic() > deadline and n >= len(starts):
                break
            _run_trial(study, desk, params)
            if progress is not None:
                progress("trials", 1, max(trials, len(starts)))
    except KeyboardInterrupt:
        interrupted = True
    done = _complete(study)
    if not done:
        raise FinblendError("interrupted before the first trial was done; nothing is changed")
    blend, map5 = _blend_of(study.best_trial, desk, mix, len(done))
    blend.save(project.blend_path)
    singles = {name: _score_of(study, desk, _params([name], list(desk.sources))) for name in desk.sources}
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
        "equal_weights": _score_of(study, desk, _params(list(desk.sources), list(desk.sources))),
        "single_models": singles,
        "mix": mix.as_dict(),
        "new_first": blend.new_share,
        "measured": HOW,
        "interrupted": interrupted,
        "warnings": [raw_share_warning(desk.exam)] if new_share is None else [],
    }


def raw_share_warning(exam: Exam) -> str:
    """What to say when no share of strangers was given."""
    have = exam.questions.gallery_photos
    share = float((have == 0).mean()) if have is not None else 0.0
    return f"no --new-share was given: the raw out-of-fold share of strangers, {share:.3f}, is assumed for test too"


def _run_trial(study: optuna.Study, desk: Desk, params: Mapping[str, float] | None) -> None:
    import optuna

    if params is not None:
        study.enqueue_trial(dict(params))
    trial = study.ask()
    try:
        blend, map5 = decided(desk.exam, _draw(trial, desk))
        trial.set_user_attr("rule", blend.rule)
        trial.set_user_attr("threshold", blend.threshold)
        study.tell(trial, map5)
    except BaseException:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise


def _draw(trial: optuna.trial.BaseTrial, desk: Desk) -> Blend:
    factors = {name: trial.suggest_float(f"factor:{name}", 0.0, 1.0) for name in desk.sources}
    top_photos = trial.suggest_int("top_photos", 1, MAX_TOP_PHOTOS)
    # the third power gives small penalties room without a special case for none
    root = trial.suggest_float("species_penalty_root", 0.0, 1.0)
    background = trial.suggest_float("background", 0.0, MAX_BACKGROUND)
    return Blend(_normalised(factors), dict(desk.whitening), top_photos, root**3, background)


def _normalised(factors: Mapping[str, float]) -> dict[str, float]:
    """alpha = w^2 / sum w^2, equal where all are 0."""
    squares = {name: factor * factor for name, factor in factors.items()}
    total = sum(squares.values())
    if total < 1e-12:
        return {name: 1.0 / len(squares) for name in squares}
    return {name: square / total for name, square in squares.items()}


def _params(chosen: list[str], names: list[str], penalty: float = 0.0, background: float = 1.0) -> dict[str, float]:
    factors = {f"factor:{name}": float(name in chosen) for name in names}
    return {**factors, "top_photos": 1, "species_penalty_root": penalty ** (1 / 3), "background": background}


def _starting_points(names: list[str], previous: Blend | None) -> Iterator[dict[str, float]]:
    yield _params(names, names)
    yield _params(names, names, penalty=0.216)
    yield _params(names, names, background=0.0)
    for name in names:
        yield _params([name], names)
    if previous is not None and set(previous.weights) & set(names):
        top = max(previous.weights.get(name, 0.0) for name in names)
        if top > 0:
            factors = {f"factor:{name}": (previous.weights.get(name, 0.0) / top) ** 0.5 for name in names}
            yield {
                **factors,
                "top_photos": min(previous.top_photos, MAX_TOP_PHOTOS),
                "species_penalty_root": min(previous.species_penalty, 1.0) ** (1 / 3),
                "background": min(previous.background, MAX_BACKGROUND),
            }


def _proposals(
    study: optuna.Study, starts: list[dict[str, float]], trials: int, sampler: str, seed: int
) -> Iterator[dict[str, float] | None]:
    """What to try next; None leaves it to the study's own sampler."""
    yield from starts
    left = trials - len(starts)
    if sampler != "cmaes":
        yield from [None] * left
        return
    yield from _cmaes(study, left, seed)


def _cmaes(study: optuna.Study, trials: int, seed: int) -> Iterator[dict[str, float]]:
    """CMA-ES around the best trial so far. Optuna's own sampler restores its state by unpickling, so it is not used."""
    try:
        from cmaes import CMA
    except ImportError:
        raise FinblendError("--sampler cmaes needs the package cmaes: pip install 'finblend[cmaes]'") from None
    best = study.best_trial.params
    names = list(best)
    widest = {"top_photos": MAX_TOP_PHOTOS, "background": MAX_BACKGROUND}
    scale = np.array([widest.get(name, 1.0) for name in names])
    low = np.array([1.0 if name == "top_photos" else 0.0 for name in names])
    bounds = np.stack([low / scale, np.ones(len(names))], axis=1)
    mean = np.clip(np.array([best[name] for name in names]) / scale, bounds[:, 0], bounds[:, 1])
    optimiser = CMA(mean=mean, sigma=0.2, bounds=bounds, seed=seed + len(study.trials))
    told: list[tuple[np.ndarray, float]] = []
    for _ in range(trials):
        point = optimiser.ask()
        params = dict(zip(names, (point * scale).tolist(), strict=True))
        params["top_photos"] = int(round(params["top_photos"]))
        yield params
        told.append((point, -float(study.trials[-1].value or 0.0)))
        if len(told) == optimiser.population_size:
            optimiser.tell(told)
            told = []


def _study(project: Project, desk: Desk, mix: Mix, sampler: str, seed: int) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made_from = [
        project.photos_hash,
        [[name, s.out_of_fold_contents(), desk.whitening[name]] for name, s in sorted(desk.sources.items())],
        mix.as_dict(),
        NEAREST,
        hashlib.sha256(desk.exam.weights.round(12).tobytes()).hexdigest(),
    ]
    name = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    path = str(project.study_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        # another seed on going on, or the same points would be drawn again
        drawn = seed + len(study.trials)
        study.sampler = (
            optuna.samplers.TPESampler(seed=drawn, multivariate=True)
            if sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=drawn)
        )
    return study


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    import optuna

    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])


def _score_of(study: optuna.Study, desk: Desk, params: Mapping[str, float]) -> float:
    """The score of a starting point, from the study."""
    for trial in _complete(study):
        if trial.params == params and trial.value is not None:
            return trial.value
    return decided(desk.exam, _draw(_fixed(params), desk))[1]


def _fixed(params: Mapping[str, float]) -> optuna.trial.BaseTrial:
    import optuna

    return optuna.trial.FixedTrial(dict(params))


def _blend_of(best: optuna.trial.FrozenTrial, desk: Desk, mix: Mix, trials: int) -> tuple[Blend, float]:
    drawn, map5 = decided(desk.exam, _draw(_fixed(best.params), desk))
    blend = replace(
        drawn,
        new_share=desk.exam.share_of_new(ranking_of(desk.exam.questions, drawn), drawn),
        mix=mix.as_dict(),
        measured={"map5": map5, "how": HOW, "trials": trials},
        contents={name: source.out_of_fold_contents() for name, source in desk.sources.items()},
    )
    return blend, map5


__all__ = ["SAMPLERS", "Desk", "set_exam", "tune"]
