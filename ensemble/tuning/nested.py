"""The honest score: everything tunable is tuned on the other folds and scored on the fold that was held out.

Whitening, weights, photos per individual, species penalty, background, rule, threshold, weights per species and the
second stage are all chosen anew for each fold, without its photos as queries (as gallery photos they stay:
without them the gallery would be another one). The best single model and equal weights are treated the same, so that
the comparison is fair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.identification.posteriors import Answers
from ensemble.identification.second_stage import SecondStage
from ensemble.identification.stage_choice import choose_stage
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup, setup_with
from ensemble.retrieval.selection import choose_whitening
from ensemble.tuning.baselines import tuned_baselines
from ensemble.tuning.nested_parts import RECIPES, NestedParts, ScoredFold
from ensemble.tuning.nested_result import HeldOutResult, NestedScore
from ensemble.tuning.search import first_points, search
from ensemble.tuning.study import study_in_memory

TRIALS = 100
# open scores of a held-out fold are rescored over the whole gallery only where they could change its MAP@5 by this
TOLERANCE = 0.0005


@dataclass(frozen=True, kw_only=True)
class HeldOutFold:
    """What was tuned without one fold's photos as queries.

    Attributes
    ----------
    fold : int
    setup : Setup
        With the whitening chosen without the fold, and the evaluation set of all photos.
    others : Setup
        The same with the evaluation set of the other folds' photos.
    blend : Blend
    kappa : float or None
        As of `with_species_weights`.
    """

    fold: int
    setup: Setup
    others: Setup
    blend: Blend
    kappa: float | None


def nested_score(
    setup: Setup,
    *,
    trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Engine = HERE,
) -> NestedScore:
    """Tune without each fold in turn, and score the fold.

    Parameters
    ----------
    setup : Setup
        With the evaluation set of all photos.
    trials : int
        Per fold, beside the starting points.
    seed : int
    progress : callable, optional
    engine : Engine
        Where folds are tuned.

    Raises
    ------
    FinblendError
        If the other folds of a fold lack the strangers, or the known photos, of the mix.
    """
    evaluation_set, project = setup.evaluation_set, setup.project
    whitenings = {fold: _whitening(setup, fold, progress) for fold in project.catalogue.fold_ids}
    parts = NestedParts.of(setup, whitenings, trials, seed)
    score_fold = partial(_scored_fold, setup, trials=trials, seed=seed, parts=parts, setups={})
    folds = list(engine.map(
        score_fold, list(whitenings.items()), name="nested folds", folder=project.folder, progress=progress
    ))  # fmt: skip
    precision = {recipe: np.zeros(len(evaluation_set.row)) for recipe in RECIPES}
    for scored in folds:
        inside = evaluation_set.fold == scored.result.fold
        for recipe in RECIPES:
            precision[recipe][inside] = scored.precision[recipe]
    parts.drop()
    return NestedScore(
        evaluation_set=evaluation_set,
        **precision,
        folds=[scored.result for scored in folds],
        width=sum(scored.width for scored in folds),
        has_pairs=bool(setup.retriever.pair_stores),
    )


def _scored_fold(
    setup: Setup,
    item: tuple[int, Mapping[str, str]],
    progress: Progress | None,
    *,
    trials: int,
    seed: int,
    parts: NestedParts,
    setups: dict[tuple[tuple[str, str], ...], Setup],
) -> ScoredFold:
    """Score a fold by what is tuned without it; a call that was killed left what it had done."""
    fold, whitening = item
    kept = parts.read(fold)
    if kept is not None:
        return kept
    held_out = _tuned_without(setup.with_pairs(()), fold, whitening, setups, trials, seed, progress)
    evaluation_set = setup.evaluation_set
    inside = evaluation_set.fold == fold
    single, equal = tuned_baselines(held_out.others)
    precision, width = {}, 0.0
    for recipe, blend in (("plain", held_out.blend), ("single", single), ("equal", equal)):
        scored, width_of_fold = _score_held_out(held_out.setup.evaluation_set, blend, inside)
        precision[recipe] = scored[inside]
        if recipe == "plain":
            width = width_of_fold
    staged, without, pairs = _by_second_stage(held_out, inside)
    precision["blend"] = precision["plain"] if staged is None else staged
    precision["without_pairs"] = precision["plain"] if without is None else without
    weights = evaluation_set.weights[inside]
    # the mix may leave a fold without weight, as one of strangers where none are expected
    map5 = float(weights @ precision["blend"] / weights.sum()) if weights.sum() > 0 else None
    done = ScoredFold(precision, width, HeldOutResult.of(held_out, map5, single, staged is not None, pairs))
    parts.write(done)
    return done


def tune_on_other_folds(
    setup: Setup, *, trials: int = TRIALS, seed: int = 0, progress: Progress | None = None
) -> Iterator[HeldOutFold]:
    """Tune without each fold in turn; parameters and errors as of `nested_score`."""
    setup = setup.with_pairs(())
    setups: dict[tuple[tuple[str, str], ...], Setup] = {}
    for fold in setup.project.catalogue.fold_ids:
        yield _tuned_without(setup, fold, _whitening(setup, fold, progress), setups, trials, seed, progress)


def _whitening(setup: Setup, fold: int, progress: Progress | None) -> dict[str, str]:
    """The whitening that is chosen without a fold."""
    return choose_whitening(setup.project, setup.models, progress, without=fold)


def _tuned_without(
    setup: Setup,
    fold: int,
    whitening: Mapping[str, str],
    setups: dict[tuple[tuple[str, str], ...], Setup],
    trials: int,
    seed: int,
    progress: Progress | None,
) -> HeldOutFold:
    """Tune without a fold; set-ups of other whitenings than the given one's are kept in `setups`."""
    folds = setup.project.catalogue.folds
    key = tuple(sorted(whitening.items()))
    if key == tuple(sorted(setup.whitening.items())):
        setups[key] = setup
    if key not in setups:
        setups[key] = setup_with(replace(setup.retriever, whitening=whitening), setup.mix)
    try:
        others = setups[key].in_mix(setup.mix, np.flatnonzero(folds != fold))
    except FinblendError as error:
        raise FinblendError(f"without fold {fold}, {error}") from None
    points, _ = first_points(others)
    n_trials = trials + len(points)
    advance = None if progress is None else partial(progress, "nested trials", 1, n_trials * len(np.unique(folds)))
    tuned = search(others, study_in_memory(seed), points, trials=n_trials, seed=seed, advance=advance)
    if tuned.interrupted:
        raise KeyboardInterrupt
    return HeldOutFold(fold=fold, setup=setups[key], others=others, blend=tuned.blend, kappa=tuned.kappa)


def _score_held_out(evaluation_set: EvaluationSet, blend: Blend, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Precision of each row at the blend's own decision, and what the rows `inside` leave open of MAP@5."""
    query_set, weights = evaluation_set.query_set, evaluation_set.weights[inside]
    ranking = ranking_of(query_set, blend)
    score = evaluation_set.score_ranking(ranking, blend, blend.decision)
    width = float(weights @ (score.precision_upper - score.precision_lower)[inside])
    if width > TOLERANCE * weights.sum():
        rows = np.unique(evaluation_set.row[inside & score.is_undecided])
        score = evaluation_set.score_ranking(rescored(query_set, blend, ranking, rows), blend, blend.decision)
        width = float(weights @ (score.precision_upper - score.precision_lower)[inside])
    return score.precision, width


def _by_second_stage(
    held_out: HeldOutFold, inside: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None, list[str]]:
    """Precision of the held-out rows by the stage that is chosen on the other folds, and by the one without pairs.

    None where none is clearly better; last the pair sources that are weighed.
    """
    blend, query_set = held_out.blend, held_out.setup.evaluation_set.query_set
    try:
        choice = choose_stage(held_out.others, blend, ranking_of(query_set, blend))
    except FinblendError:
        # some fold's photos alone carry the mix
        return None, None, []

    def precision(stage: SecondStage | None) -> np.ndarray | None:
        if stage is None:
            return None
        evaluation_set = held_out.setup.evaluation_set.among(stage.evaluation_set.query_set)
        answers = Answers.of(stage.held_out(evaluation_set, inside))
        return average_precisions(answers.labels, evaluation_set.truth[inside])

    without = precision(choice.without_pairs)
    return (precision(choice.stage) if choice.pairs else without), without, list(choice.pairs)
