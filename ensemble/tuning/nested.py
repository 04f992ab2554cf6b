"""The honest score: everything tunable is tuned on the other folds and scored on the fold that was held out.

Whitening, operators, weights, photos per individual, species penalty, background, rule, threshold, weights per species
and the second stage are all chosen anew for each fold, without its photos as queries (as gallery photos they stay:
without them the gallery would be another one). The best single model and equal weights are treated the same, so that
the comparison is fair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of
from ensemble.identification.second_stage import SecondStage, second_stage_helps
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.bootstrap import Bootstrap, interval_of, prediction_interval
from ensemble.protocol.certify import decided, rescore_open
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup, build_setup
from ensemble.retrieval.operators import Operators
from ensemble.retrieval.selection import choose_operators, choose_whitening
from ensemble.tuning.baselines import baselines
from ensemble.tuning.greedy import forward_selection
from ensemble.tuning.samplers import proposals, sampler_of
from ensemble.tuning.search_space import draw, fixed, starting_points, weighted_point
from ensemble.tuning.species_weights import with_species_weights
from ensemble.tuning.study import complete, run_trial

HOW = (
    "nested out-of-fold: each fold is scored by a blend tuned on the other folds alone, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)
TRIALS = 100
# open scores of a held-out fold are settled over the whole gallery only where they could change its MAP@5 by this
TOLERANCE = 0.0005


@dataclass(frozen=True)
class NestedScore:
    """Precisions of photos that no choice was made on.

    Attributes
    ----------
    evaluation set : EvaluationSet
    blend, plain, single, equal : (m,) float64 arrays
        Average precision of each photo of the evaluation set: by the blend with its second stage where that was chosen,
        by the blend without, by the best single model, by equal weights.
    folds : list of dict
        What was chosen without each fold, and how it did there.
    width : float
        How much of MAP@5 the candidates leave open.
    """

    evaluation_set: EvaluationSet
    blend: np.ndarray
    plain: np.ndarray
    single: np.ndarray
    equal: np.ndarray
    folds: list[dict[str, Any]]
    width: float


def nested_score(
    project: Project, setup: Setup, mix: Mix, *, trials: int = TRIALS, seed: int = 0, progress: Progress | None = None
) -> NestedScore:
    """Tune without each fold in turn, and score the fold.

    Parameters
    ----------
    project : Project
    setup : Setup
        With the evaluation set of all photos.
    mix : Mix
    trials : int
        Per fold, beside the starting points.
    seed : int
    progress : callable, optional

    Raises
    ------
    FinblendError
        If the other folds of a fold lack the strangers, or the known photos, of the mix.
    """
    folds = project.catalogue.folds
    evaluation_set = setup.evaluation_set
    found = {who: np.zeros(len(evaluation_set.weights)) for who in ("blend", "plain", "single", "equal")}
    rows: list[dict[str, Any]] = []
    width = 0.0
    sat_fold = folds[evaluation_set.rows[evaluation_set.trials.query]]
    for one in tune_on_other_folds(project, setup, mix, trials=trials, seed=seed, progress=progress):
        fold, own, others, blend = one.fold, one.setup, one.others, one.blend
        single, equal = baselines(others)
        here = sat_fold == fold
        for who, recipe in (("plain", blend), ("single", single), ("equal", equal)):
            precision, open_width = _held_out(own.evaluation_set, recipe, here)
            found[who][here] = precision[here]
            if who == "plain":
                width += open_width
        found["blend"][here] = found["plain"][here]
        staged = second_stage_helps(others.evaluation_set, blend)
        if staged:
            weights = np.zeros(len(evaluation_set.weights))
            weights[~here] = others.evaluation_set.weights
            labels = SecondStage(own.evaluation_set, blend).of_held_out(here, weights)
            found["blend"][here] = average_precisions(labels, evaluation_set.truth[here])
        weight = evaluation_set.weights[here].sum()
        rows.append(
            {
                "fold": fold,
                # the mix may leave a fold without weight, as one of strangers where none are expected
                "map5": float(evaluation_set.weights[here] @ found["blend"][here] / weight) if weight > 0 else None,
                "weights": blend.weights,
                "single": max(single.weights, key=lambda name: single.weights[name]),
                "top_photos": blend.top_photos,
                "species_penalty": blend.species_penalty,
                "background": blend.background,
                "rule": blend.rule,
                "threshold": blend.threshold,
                "kappa": one.kappa,
                "second_stage": staged,
                "whitening": dict(own.whitening),
                "operators": {name: how.as_dict() for name, how in own.operators.items()},
            }
        )
    return NestedScore(evaluation_set, found["blend"], found["plain"], found["single"], found["equal"], rows, width)


@dataclass(frozen=True)
class HeldOutFold:
    """What was tuned without one fold's photos as queries.

    Attributes
    ----------
    fold : int
    setup : Setup
        With the whitening and operators chosen without the fold, and the evaluation set of all photos.
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


def tune_on_other_folds(
    project: Project, setup: Setup, mix: Mix, *, trials: int = TRIALS, seed: int = 0, progress: Progress | None = None
) -> Iterator[HeldOutFold]:
    """Tune without each fold in turn; parameters and errors as of `nested_score`."""
    folds = project.catalogue.folds
    setups: dict[str, Setup] = {_key(setup.whitening, setup.operators): setup}
    for fold in project.catalogue.fold_ids:
        kinds = choose_whitening(project, setup.models, progress, without=fold)
        operators = choose_operators(project, setup.models, kinds, setup.wanted, progress, without=fold)
        key = _key(kinds, operators)
        if key not in setups:
            setups[key] = build_setup(project, setup.models, kinds, mix, progress, operators, setup.wanted)
        own = setups[key]
        try:
            others = replace(own, evaluation_set=own.in_mix(mix, np.flatnonzero(folds != fold)))
        except FinblendError as error:
            raise FinblendError(f"without fold {fold}, {error}") from None
        yield HeldOutFold(fold, own, others, *tuned(others, folds, trials, seed, progress))


def tuned(
    setup: Setup, folds: np.ndarray, trials: int, seed: int, progress: Progress | None = None
) -> tuple[Blend, float | None]:
    """Tune on one evaluation set from the start, in memory: what `tune` does, without a journal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=sampler_of("tpe", seed))
    names = list(setup.models)
    starts = list(starting_points(names, None))
    if len(names) > 1:
        starts.append(weighted_point(forward_selection(setup.evaluation_set, names, setup.whitening)[0], names))
    scores: list[float] = []
    for params in proposals(study, starts, trials + len(starts), "tpe", seed, scores):
        scores.append(run_trial(study, setup, params))
        if progress is not None:
            progress("nested trials", 1, (trials + len(starts)) * (len(np.unique(folds))))
    blend, _ = decided(setup.evaluation_set, draw(fixed(study.best_trial.params), setup))
    best_first = sorted(complete(study), key=lambda trial: -(trial.value or 0.0))
    tried = [draw(fixed(trial.params), setup).weights for trial in best_first]
    return with_species_weights(setup.evaluation_set, blend, folds, tried, seed)


def _held_out(evaluation_set: EvaluationSet, blend: Blend, here: np.ndarray) -> tuple[np.ndarray, float]:
    """Precision of each photo at the blend's own decision, and what the photos `here` leave open."""
    ranking = ranking_of(evaluation_set.query_set, blend)
    evaluation_set.trials.judge(ranking.take(evaluation_set.rows), blend.background, blend.decision)

    def width() -> float:
        return float(evaluation_set.weights[here] @ (evaluation_set.trials.most - evaluation_set.trials.least)[here])

    if width() > TOLERANCE * evaluation_set.weights[here].sum():
        still = here & (evaluation_set.trials.least < evaluation_set.trials.most)
        ranking = rescore_open(evaluation_set, blend, ranking, still)
        evaluation_set.trials.judge(ranking.take(evaluation_set.rows), blend.background, blend.decision)
    return evaluation_set.trials.precision.copy(), width()


def _key(whitening: Mapping[str, str], operators: Mapping[str, Operators]) -> str:
    return json.dumps([dict(whitening), {name: how.as_dict() for name, how in operators.items()}], sort_keys=True)


def nested_report(project: Project, score: NestedScore, in_sample: float) -> dict[str, Any]:
    """What `evaluate --nested` and `tune` tell of a nested score.

    Returns
    -------
    dict
        `map5, in_sample, optimism, interval` (95 %, bootstrap over individuals), `prediction` (95 % for a test of the
        real one's size), `test_photos, against` (paired differences to `single`, `equal` and `plain`,
        the blend alone: `map5, difference,
        interval`), `folds, width, measured`.
    """
    weights = score.evaluation_set.weights
    stacked = np.stack([score.blend, score.single, score.equal, score.plain])
    means = stacked @ weights
    draws = Bootstrap(score.evaluation_set, project.catalogue.labels).draws(stacked)
    test_photos = project.catalogue.test.height
    return {
        "map5": float(means[0]),
        "in_sample": in_sample,
        "optimism": in_sample - float(means[0]),
        "interval": interval_of(draws[:, 0]),
        "prediction": prediction_interval(float(means[0]), draws[:, 0], weights, test_photos),
        "test_photos": test_photos,
        "against": {
            who: {
                "map5": float(means[n]),
                "difference": float(means[0] - means[n]),
                "interval": interval_of(draws[:, 0] - draws[:, n]),
                "own_interval": interval_of(draws[:, n]),
            }
            for n, who in ((1, "single"), (2, "equal"), (3, "plain"))
        },
        "folds": score.folds,
        "width": score.width,
        "measured": HOW,
    }
