"""Tune a blend: Optuna proposes weights, photos per individual, penalty; rule and threshold follow exactly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.identification.scored_blend import score_blend
from ensemble.identification.second_stage import HOW_STAGED, SecondStage, SecondStageTest, judge
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import gallery_of
from ensemble.protocol.certify import certified, decided
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.new_share import ShareLike, setup_at_share, share_or_kept
from ensemble.protocol.setup import HOW, Setup, mix_warnings
from ensemble.retrieval.operators import wanted_operators
from ensemble.tuning.convergence import enough
from ensemble.tuning.greedy import forward_selection
from ensemble.tuning.nested import TRIALS, nested_report, nested_score
from ensemble.tuning.samplers import MAX_SEED, SAMPLERS, proposals
from ensemble.tuning.search_space import draw, fixed, point, starting_points, weighted_point
from ensemble.tuning.shapley import contributions
from ensemble.tuning.species_weights import with_species_weights
from ensemble.tuning.study import complete, open_study, run_trial, score_of
from postproc import Ranking


def tune(
    folder: str | Path,
    *,
    trials: int = 100,
    new_share: ShareLike = None,
    gallery_exponent: float | None = Mix.gallery_exponent,
    sampler: str = "tpe",
    seed: int = 0,
    timeout: float | None = None,
    models: list[str] | None = None,
    nested_trials: int | None = None,
    operators: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Tune the blend and write it into the project.

    Each trial draws source weights (w squared, normalised), the number of photos per individual, the species penalty
    and how much of the query's background is taken off; rule and threshold are then solved exactly. Equal weights,
    every single model, greedy forward selection and the last blend are tried first, so the result is never below
    them. Frequent species may get weights of their own. What the candidates leave open about the chosen blend is
    settled over the whole gallery. The study lives in the project: with the same sources, folds and mix it goes on
    where it stopped, and several processes may work on it.

    Parameters
    ----------
    folder : str or Path
    trials : int
        How many more trials; 0 takes the best so far.
    new_share : float, mapping of str to float, path, "estimate" or "raw", optional
        Share of strangers expected in test, in [0, 1); per species as a mapping or a table (`cv.new_share`); estimated
        from the test photos' own scores (`ensemble.protocol.new_share`). By default that of the blend that is
        there; without one, or with "raw", the raw out-of-fold share, rarely test's.
    gallery_exponent : float or None
        See `cv.Mix`.
    sampler : {"tpe", "cmaes", "gp", "random"}
    seed : int
    timeout : float, optional
        Stop drawing trials after this many seconds.
    models : list of str, optional
        Which models to blend; all by default.
    nested_trials : int, optional
        Trials per fold for the honest score (`ensemble.tuning.nested`), beside its starting points; by default as many
        as the blend was chosen from but at most 100, 0 for none.
    operators : sequence of str
        Which of "database-augmentation", "query-expansion", "reciprocal" may be chosen for a source, where it is
        clearly better for it (`ensemble.retrieval.selection`); none by default.
    progress : callable, optional

    Returns
    -------
    dict
        `map5` (in-sample, of the blend alone), `map5_of_answers` (of what `submit` writes, as `evaluate` tells it: the
        second stage's cross-fitted where there is one), `nested` (None, or as `ensemble.tuning.nested.nested_report`),
        `threshold, rule, weights, species_weights, kappa, whitening, operators, top_photos, species_penalty,
        background, trials, new_trials, seconds, equal_weights, greedy, single_models, contributions` (a dict of
        `left_out, shapley, error` each), `certified` (of the blend alone: share of photos the candidates decide, the
        `least` and `most` they leave MAP@5 between, `recomputed` photos), `second_stage` (None where there can be none,
        or `used, map5` (cross-fitted), `gain` over the plain blend, `sure`, the share of drawn catalogues with a gain),
        `enough` (the trial after which more gained less than `gain`), `mix, estimate` (of the share of strangers, None
        where it is stated, or as `ensemble.protocol.new_share.NewShareEstimate`), `new_first, measured, interrupted,
        warnings`.
    """
    started = time.monotonic()
    _check_options(trials, sampler, seed, timeout, models, nested_trials)
    project = Project.open(folder)
    previous = Blend.load(project.blend_path) if project.blend_path.is_file() else None
    share, told = share_or_kept(new_share, previous)
    setup, mix, estimate = setup_at_share(
        project,
        share,
        gallery_exponent,
        models,
        progress,
        wanted=wanted_operators(operators),
    )
    study = open_study(project, setup, mix, sampler, seed)
    before = len(complete(study))
    # an interrupted study may lack some of its starting points, and the last blend may be another study's
    tried = [trial.params for trial in complete(study)]
    foreign = previous if previous and (not before or previous.mix != mix.as_dict()) else None
    names = list(setup.models)
    greedy = forward_selection(setup.evaluation_set, names, setup.whitening)
    given = [*starting_points(names, foreign), weighted_point(greedy[0], names)]
    starts = [params for n, params in enumerate(given) if params not in tried and params not in given[:n]]
    deadline = None if timeout is None else time.monotonic() + timeout
    interrupted = False
    scores: list[float] = []
    try:
        # the starting points always run, whatever the number of trials: they are the floor
        for n, params in enumerate(proposals(study, starts, max(trials, len(starts)), sampler, seed, scores)):
            if deadline is not None and time.monotonic() > deadline and n >= len(starts):
                break
            scores.append(run_trial(study, setup, params))
            if progress is not None:
                progress("trials", 1, max(trials, len(starts)))
    except KeyboardInterrupt:
        interrupted = True
    done = complete(study)
    if not done:
        raise FinblendError("interrupted before the first trial was done; nothing is changed")
    drawn, _ = decided(setup.evaluation_set, draw(fixed(study.best_trial.params), setup))
    best_first = [draw(fixed(t.params), setup).weights for t in sorted(done, key=lambda t: -(t.value or 0.0))]
    blend, kappa = with_species_weights(setup.evaluation_set, drawn, project.catalogue.folds, best_first, seed)
    blend, among = decided(setup.evaluation_set, blend)
    blend, ranking, outcome, recomputed = certified(setup.evaluation_set, blend, progress)
    # kept for whoever asks about this blend: what was settled need not be settled again
    score_blend(setup, blend, progress, ranking)
    warnings = told + mix_warnings(setup, mix) + (estimate.warnings() if estimate else [])
    blend, verdict, labels, stopped = _with_second_stage(setup.evaluation_set, blend, ranking, warnings)
    wanted = min(len(done), TRIALS) if nested_trials is None else nested_trials
    nested = None
    in_sample = verdict.map5 if blend.second_stage and verdict else outcome.map5
    if wanted and not interrupted and not stopped:
        nested, stopped = _nested(project, setup, mix, (wanted, seed), in_sample, warnings, progress)
    interrupted = interrupted or stopped
    how = f"map5: the blend alone, {HOW};\nnew_first: {HOW_STAGED}" if blend.second_stage else HOW
    tasks = {name: asdict(task) for name, task in contributions(setup.evaluation_set, blend).items()}
    sure = {"share": 1.0 - among.open, "least": among.least, "most": among.most, "recomputed": recomputed}
    blend = replace(
        blend,
        mix=mix.as_dict(),
        measured={
            "map5": outcome.map5,
            "new_first": setup.evaluation_set.share_of_new(labels),
            "how": how,
            "trials": len(done),
            "sampler": sampler,
            "seed": seed,
            "nested": nested,
            "operators_tried": list(setup.wanted),
            "second_stage": verdict and asdict(verdict),
            "estimate": estimate and estimate.as_dict(),
            # what would take long to tell again, of this very blend
            "contributions": tasks,
            "certified": sure,
        },
        contents={name: model.out_of_fold_contents() for name, model in setup.models.items()},
        gallery=gallery_of(project).fingerprint,
    )
    blend.save(project.blend_path)
    return {
        "map5": outcome.map5,
        "map5_of_answers": in_sample,
        "nested": nested,
        "threshold": blend.threshold,
        "rule": blend.rule,
        "weights": blend.weights,
        "species_weights": blend.species_weights,
        "kappa": kappa,
        "whitening": blend.whitening,
        "operators": blend.operators,
        "top_photos": blend.top_photos,
        "species_penalty": blend.species_penalty,
        "background": blend.background,
        "trials": len(done),
        "new_trials": len(done) - before,
        "seconds": time.monotonic() - started,
        "equal_weights": score_of(study, setup, point(names, names)),
        "greedy": greedy[1],
        "single_models": {name: score_of(study, setup, point([name], names)) for name in names},
        "contributions": tasks,
        "certified": sure,
        "enough": enough(done),
        "second_stage": verdict and asdict(verdict),
        "mix": mix.as_dict(),
        "estimate": estimate and estimate.as_dict(),
        "new_first": blend.measured["new_first"],
        "measured": how,
        "interrupted": interrupted,
        "warnings": warnings,
    }


def _with_second_stage(
    evaluation_set: EvaluationSet, blend: Blend, ranking: Ranking, warnings: list[str]
) -> tuple[Blend, SecondStageTest | None, np.ndarray, bool]:
    """The blend with its second stage, if that is clearly better; what that was judged by; answers; interrupted."""
    verdict, stopped = None, False
    try:
        stage = SecondStage(evaluation_set, blend, keep=True)
        verdict = judge(stage, ranking)
        if verdict.used:
            return replace(blend, second_stage=True), verdict, stage.answers(), False
    except KeyboardInterrupt:
        # the blend itself is done
        stopped = True
    except FinblendError as error:
        warnings.append(f"no second stage: {error}")
    return blend, verdict, evaluation_set.answers(ranking, blend), stopped


def _nested(
    project: Project,
    setup: Setup,
    mix: Mix,
    how: tuple[int, int],
    in_sample: float,
    warnings: list[str],
    progress: Progress | None,
) -> tuple[dict[str, Any] | None, bool]:
    """The honest score by (trials, seed), None where there is none; whether it was interrupted."""
    trials, seed = how
    try:
        score = nested_score(project, setup, mix, trials=trials, seed=seed, progress=progress)
        return nested_report(project, score, in_sample), False
    except KeyboardInterrupt:
        # the blend itself is done: it is kept without its honest score
        return None, True
    except FinblendError as error:
        warnings.append(f"no nested score: {error}")
        return None, False


def _check_options(
    trials: int,
    sampler: str,
    seed: int,
    timeout: float | None,
    models: list[str] | None,
    nested_trials: int | None,
) -> None:
    if sampler not in SAMPLERS:
        raise FinblendError(f"--sampler must be one of {', '.join(SAMPLERS)}, but got {sampler}")
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    if not 0 <= seed < MAX_SEED:
        raise FinblendError(f"--seed: 0 <= seed < {MAX_SEED} must hold, but got seed={seed}")
    if models is not None and (isinstance(models, str) or not models):
        raise FinblendError(f"models must be a list of at least one name, but got {models!r}")
    if nested_trials is not None and nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    if timeout is not None and not timeout > 0:
        raise FinblendError(f"--timeout > 0 must hold, but got timeout={timeout}")
