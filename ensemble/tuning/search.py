"""The search: one for `tune` and for the nested score. Points to begin with, trials, the best with its decision."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble.blend.blend import Blend
from ensemble.protocol.setup import Setup
from ensemble.tuning.greedy import forward_selection
from ensemble.tuning.search_space import draw, fixed, starting_points, weighted_point
from ensemble.tuning.species_weights import with_species_weights
from ensemble.tuning.study import Proposals, complete, run_trial

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    blend : Blend
        The best trial's, with its decision and, where these prove better, weights per species.
    kappa : float or None
        As of `with_species_weights`.
    trials : list of optuna.trial.FrozenTrial
        All that the study has, the best first.
    interrupted : bool
        Whether Ctrl-C ended it early.
    """

    blend: Blend
    kappa: float | None
    trials: list[optuna.trial.FrozenTrial]
    interrupted: bool


def first_points(setup: Setup, previous: Blend | None = None) -> tuple[list[dict[str, float]], float]:
    """What every search tries first, its floor, and the score of greedy forward selection, the last of these points."""
    names = list(setup.models)
    points = list(starting_points(names, previous))
    weights, map5 = forward_selection(setup.evaluation_set, names, setup.whitening)
    if len(names) > 1:
        points.append(weighted_point(weights, names))
    return points, map5


def starts_of_study(setup: Setup, study: optuna.Study, previous: Blend | None) -> tuple[list[dict[str, float]], float]:
    """The first points that a study lacks, each once: it may have been interrupted, or be new; greedy's score.

    The last blend is one of them unless the study holds its trials already.
    """
    tried = [trial.params for trial in complete(study)]
    holds_previous = bool(tried) and previous is not None and previous.mix == setup.mix
    points, greedy_map5 = first_points(setup, None if holds_previous else previous)
    return [params for n, params in enumerate(points) if params not in tried and params not in points[:n]], greedy_map5


def search(
    setup: Setup,
    study: optuna.Study,
    starts: Sequence[dict[str, float]],
    *,
    trials: int,
    seed: int,
    deadline: float | None = None,
    advance: Callable[[], None] | None = None,
) -> SearchResult:
    """Run trials and take the best.

    Parameters
    ----------
    setup : Setup
    study : optuna.Study
        Its sampler proposes what comes after the starts.
    starts : sequence of dict
        Points that always run, whatever the number of trials: they are the floor.
    trials : int
        How many to run, the starts included.
    seed : int
        Of the weights drawn for species.
    deadline : float, optional
        Of `time.monotonic`: no trial is drawn after it.
    advance : callable, optional
        Called after each trial.
    """
    interrupted, proposals = False, Proposals(study)
    try:
        for n in range(trials):
            if deadline is not None and time.monotonic() > deadline and n >= len(starts):
                break
            run_trial(study, setup, starts[n] if n < len(starts) else None, proposals)
            if advance is not None:
                advance()
    except KeyboardInterrupt:
        if not complete(study):
            # there is nothing to take the best of
            raise
        interrupted = True
    best_first = sorted(complete(study), key=lambda trial: -(trial.value or 0.0))
    blend, _ = setup.evaluation_set.decided(draw(fixed(best_first[0].params), setup))
    weights_tried = [draw(fixed(trial.params), setup).weights for trial in best_first]
    blend, kappa = with_species_weights(setup.evaluation_set, blend, weights_tried, seed)
    return SearchResult(blend, kappa, best_first, interrupted)
