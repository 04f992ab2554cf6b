"""Tune a blend: Optuna proposes weights, photos per individual, penalty; rule and threshold follow exactly."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.approximation import measure_approximation
from ensemble.protocol.certify import certify
from ensemble.protocol.larger_gallery import larger_gallery
from ensemble.protocol.new_share import ShareLike, setup_at_share, share_or_kept
from ensemble.tuning.convergence import convergence
from ensemble.tuning.measure import nested_or_why_not, staged_blend
from ensemble.tuning.nested import TRIALS
from ensemble.tuning.result import Certificate, TuneResult
from ensemble.tuning.samplers import MAX_SEED, SAMPLERS
from ensemble.tuning.search import search, starts_of_study
from ensemble.tuning.search_space import point
from ensemble.tuning.shapley import shapley
from ensemble.tuning.study import complete, open_study, score_of
from postproc.neighbours.approximate import EXACT

# what of the result stays in blend.json
KEPT = (
    "map5",
    "new_first",
    "trials",
    "nested",
    "larger_gallery",
    "second_stage",
    "pairs",
    "estimate",
    "contributions",
    "certified",
    "approximation",
)


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
    pairs: list[str] | None = None,
    leave_out: str | None = None,
    neighbours: str = EXACT,
    nested_trials: int | None = None,
    study: str | None = None,
    engine: str | Engine = "here",
    progress: Progress | None = None,
) -> TuneResult:
    """Tune the blend and write it into the project.

    Each trial draws model weights (w squared, normalised), the number of photos per individual, the species penalty
    and how much of the query's background is taken off; rule and threshold are then solved exactly. Equal weights,
    every single model, greedy forward selection and the last blend are tried first, so the result is never below
    them. Frequent species may get weights of their own. What the candidates leave open about the chosen blend is
    rescored over the whole gallery. The study lives in the project: with the same models, folds and mix it goes on
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
    sampler : {"tpe", "random"}
    seed : int
    timeout : float, optional
        Stop drawing trials after this many seconds.
    models : list of str, optional
        Which models to blend; all by default.
    pairs : list of str, optional
        Which pair sources the second stage may weigh; all by default, none with [].
    leave_out : {"encounter", "fold"}, optional
        What of the catalogue a train photo does not meet when it is scored (`cv.left_out`): its encounter where all
        models are frozen and none is whitened, its fold otherwise.
    neighbours : {"exact", "approximate"}
        How the photos that are compared are found. Approximate, for catalogues where exact ones take hours: an index
        chooses what is compared exactly, and what it passes over is measured on a sample
        (`ensemble.protocol.approximation`).
    nested_trials : int, optional
        Trials per fold for the honest score (`ensemble.tuning.nested`), beside its starting points; by default as many
        as the blend was chosen from but at most 100, 0 for none.
    study : str, optional
        `postgresql://USER@HOST/DATABASE`: a server that holds the study instead of the project's journal, for processes
        on several machines.
    engine : str or Engine
        Where neighbours are searched and the folds of the honest score are tuned, see
        `ensemble.engine.engines.engine_of`.
    progress : callable, optional
    """
    started = time.monotonic()
    _check_options(trials, sampler, seed, timeout, models, nested_trials)
    engine = engine_of(engine)

    # what is tuned: models, gallery and out-of-fold queries in the stated mix, read once
    project = Project.open(folder)
    previous = Blend.load(project.blend_path, as_start=True) if project.blend_path.is_file() else None
    share, warnings = share_or_kept(new_share, previous)
    setup = setup_at_share(
        project,
        share,
        gallery_exponent,
        models,
        pairs=pairs,
        leave_out=leave_out,
        neighbours=neighbours,
        progress=progress,
        engine=engine,
    )
    warnings = warnings + setup.warnings()

    # the search goes on where the study stopped, from points that every study tries first
    opened = open_study(setup, sampler, seed, study)
    n_earlier = len(complete(opened))
    starts, greedy_map5 = starts_of_study(setup, opened, previous)
    n_trials = max(trials, len(starts))
    try:
        best = search(
            setup,
            opened,
            starts,
            trials=n_trials,
            seed=seed,
            deadline=None if timeout is None else time.monotonic() + timeout,
            advance=None if progress is None else partial(progress, "trials", 1, n_trials),
        )
    except KeyboardInterrupt:
        if complete(opened):
            raise
        raise FinblendError("interrupted before the first trial was done; nothing is changed") from None

    # its best recipe: decided, certified over the whole gallery, with a second stage where that is clearly better
    found = replace(best.blend, leave_out=setup.retriever.leave_out, neighbours=neighbours)
    recipe, over_candidates = setup.evaluation_set.decided(found)
    certified = certify(setup.evaluation_set, recipe, progress, keep=True)
    approximation = measure_approximation(setup, certified.blend, certified.ranking, progress)
    staged = staged_blend(setup, certified, warnings)

    # the honest score: the same search without each fold in turn
    nested, interrupted = None, best.interrupted or staged.interrupted
    if nested_trials is None:
        nested_trials = min(len(best.trials), TRIALS)
    if nested_trials and not interrupted:
        nested, interrupted = nested_or_why_not(
            setup, nested_trials, seed, staged.map5, warnings, progress, engine, approximation
        )

    blend, names = staged.blend, list(setup.models)
    result = TuneResult(
        map5=certified.score.map5,
        map5_of_answers=staged.map5,
        nested=nested,
        larger_gallery=larger_gallery(setup, certified.blend, progress),
        threshold=blend.threshold,
        rule=blend.rule,
        weights=blend.weights,
        species_weights=blend.species_weights,
        kappa=best.kappa,
        whitening=blend.whitening,
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        background=blend.background,
        trials=len(best.trials),
        new_trials=len(best.trials) - n_earlier,
        seconds=time.monotonic() - started,
        equal_weights=score_of(opened, setup, point(names, names)),
        greedy=greedy_map5,
        single_models={name: score_of(opened, setup, point([name], names)) for name in names},
        contributions=shapley(setup.evaluation_set, blend),
        certified=Certificate.of(over_candidates, certified.rescored, approximation),
        approximation=approximation,
        enough=convergence(best.trials),
        second_stage=staged.test,
        pairs=staged.pairs,
        mix=setup.mix.as_dict(),
        estimate=setup.estimate,
        new_first=setup.evaluation_set.share_of_new(staged.labels),
        measured=staged.measured,
        interrupted=interrupted,
        warnings=warnings,
    )
    blend = replace(
        blend,
        mix=setup.mix,
        contents={name: model.out_of_fold_contents() for name, model in setup.models.items()},
        gallery=setup.retriever.gallery.fingerprint,
        measured={
            "how": result.measured,
            "sampler": sampler,
            "seed": seed,
            # and what would take long to tell again, of this very blend
            **{key: result[key] for key in KEPT},
        },
    )
    blend.save(project.blend_path)
    return result


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
