"""The share of strangers that a command works with: a number, a table by species, or estimated from the test photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix, check_share
from cv.new_share import read_new_shares
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup, read_setup, setup_of_blend
from postproc import NEW, Ranking
from postproc.calibration.calibration import estimate_new_share
from postproc.calibration.posterior import SOMEBODY_NEW, fit_posterior
from postproc.neighbours.approximate import EXACT

ESTIMATE = "estimate"
RAW = "raw"
# where the estimate begins, and from which change on another round is not worth it
START = 0.2
MOVED = 0.005
ROUNDS = 5
# drawn catalogues for its standard error
DRAWS = 50
# an estimate of none, or of nothing but strangers, could not be moved any more
LEAST, MOST = 0.001, 0.95

# what commands accept: a share, shares by species, a table of them, or ESTIMATE
ShareLike: TypeAlias = float | Mapping[str, float] | str | Path | None


@dataclass(frozen=True)
class NewShareEstimate(Result):
    """The share of strangers that the test photos' own scores suggest.

    Attributes
    ----------
    share : float
    error : float
        Its standard error, by drawing out-of-fold individuals and test photos anew; 1 where no draw has both strangers
        and known photos. That out-of-fold photos are not quite like test's is not in it.
    rounds : list of float
        The share after each round.
    settled : bool
        Whether the last round moved it by less than `MOVED`.
    """

    share: float
    error: float
    rounds: list[float]
    settled: bool

    def warnings(self) -> list[str]:
        """What to tell of it."""
        if self.settled:
            return []
        shares = ", ".join(f"{share:.3f}" for share in self.rounds)
        return [
            f"the estimated share of strangers has not settled after {len(self.rounds)} rounds ({shares}): state one"
        ]


def setup_at_share(
    project: Project,
    new_share: ShareLike,
    gallery_exponent: float | None,
    names: list[str] | None = None,
    *,
    pairs: list[str] | None = None,
    leave_out: str | None = None,
    neighbours: str = EXACT,
    progress: Progress | None = None,
    blend: Blend | None = None,
    engine: Engine = HERE,
) -> Setup:
    """The set-up at a share of strangers that is stated, read from a table, or estimated here.

    Parameters
    ----------
    project : Project
    new_share : float, mapping, path, "estimate" or None
    gallery_exponent : float or None
        See `cv.Mix`.
    names, pairs : lists of str, optional
        Which models, and which pair sources; all by default.
    leave_out : {"encounter", "fold"}, optional
        What of the catalogue a train photo does not meet, see `ensemble.registry.left_out`.
    neighbours : {"exact", "approximate"}
        As of `Blend`.
    progress : callable, optional
    blend : Blend, optional
        Its models and whitening are taken, and an estimate rests on its scores; on equal weights by default.
    engine : Engine
        Where neighbours are searched.
    """

    def setup_in(mix: Mix) -> Setup:
        if blend is not None:
            return setup_of_blend(project, blend, progress, mix=mix, engine=engine)
        return read_setup(
            project,
            mix,
            names,
            pairs=pairs,
            leave_out=leave_out,
            neighbours=neighbours,
            progress=progress,
            engine=engine,
        )

    share = stated_share(project, new_share)
    if not isinstance(share, str):
        return setup_in(Mix(share, gallery_exponent))
    try:
        setup = setup_in(Mix(START, gallery_exponent))
        estimate = estimate_share(setup, blend)
    except FinblendError as error:
        raise FinblendError(f"--new-share {ESTIMATE}: {error}") from None
    return replace(setup.in_mix(Mix(estimate.share, gallery_exponent)), estimate=estimate)


def stated_share(project: Project, value: ShareLike) -> float | Mapping[str, float] | str | None:
    """What a share was given as: a number, shares by species, `ESTIMATE`, or None; a table is read."""
    if value is None or isinstance(value, (int, float, Mapping)):
        return value
    text = str(value)
    if text == ESTIMATE:
        return ESTIMATE
    if text == RAW:
        return None
    try:
        share = float(text)
    except ValueError:
        if Path(text).suffix:
            return read_new_shares(text, project.catalogue.species, project.species_repairs)
        raise FinblendError(
            f"--new-share must be a number, a table species,new_share (.csv), '{ESTIMATE}' or '{RAW}', but got '{text}'"
        ) from None
    try:
        check_share("new_share", share, text)
    except FinblendError as error:
        raise FinblendError(f"--new-share: {error}") from None
    return share


def share_or_kept(value: ShareLike, blend: Blend | None) -> tuple[ShareLike, list[str]]:
    """The share that is stated, else that of the blend that is there (an estimate is made again), and what to tell."""
    if value is not None or blend is None:
        return value, []
    kept = ESTIMATE if blend.measured.get("estimate") else blend.mix.new_share
    name = "an estimate" if kept == ESTIMATE else "a table's" if isinstance(kept, Mapping) else kept
    line = f"no --new-share was given: {name} is kept, as of the blend that was here ({RAW} would be the raw share)"
    return kept, [] if kept is None else [line]


def estimate_share(setup: Setup, blend: Blend | None = None) -> NewShareEstimate:
    """Estimate the share of strangers among the test photos.

    A posterior (`postproc.calibration.posterior`) is fitted to the evaluation set at one share, expectation
    maximisation finds the share at which the test photos are likeliest, and the evaluation set is weighted anew to that
    share, until it moves no more.

    Parameters
    ----------
    setup : Setup
    blend : Blend, optional
        Whose scores; equal weights against the whole background by default.
    """
    names = list(setup.models)
    if blend is None:
        blend = Blend({name: 1 / len(names) for name in names}, dict(setup.whitening), background=1.0)
    # among the candidates, on both sides: what they leave open is left open alike
    test_queries = setup.retriever.of_test()
    test = ranking_of(test_queries, blend).against_background(blend.background)
    ranking = ranking_of(setup.evaluation_set.query_set, blend)
    share, rounds = START, list[float]()
    while True:
        before, evaluation_set = share, setup.evaluation_set_in(Mix(share, setup.mix.gallery_exponent))
        lists = evaluation_set.lists(ranking, blend.background)
        share = _likeliest_share(lists, evaluation_set.truth, evaluation_set.weights, test)
        rounds.append(share)
        settled = abs(share - before) < MOVED
        if settled or len(rounds) == ROUNDS:
            break
    error = _error(lists, evaluation_set, test, setup.retriever.progress)
    return NewShareEstimate(share, error, rounds, settled)


def _likeliest_share(lists: Ranking, truth: np.ndarray, weights: np.ndarray, test: Ranking) -> float:
    """The share that makes the test photos likeliest, by a posterior fitted to the evaluation set."""
    probability = fit_posterior(lists, truth, weights).of(test)[:, SOMEBODY_NEW]
    share = estimate_new_share(probability, float(weights[truth == NEW].sum() / weights.sum()))
    return round(float(np.clip(share, LEAST, MOST)), 4)


def _error(lists: Ranking, evaluation_set: EvaluationSet, test: Ranking, progress: Progress | None) -> float:
    """Spread of the share over drawn catalogues (whole individuals, for their photos are alike) and drawn tests."""
    rng = np.random.default_rng(0)
    owner, weights, is_new = evaluation_set.owner, evaluation_set.weights, evaluation_set.is_new
    people, shares = int(owner.max()) + 1, list[float]()
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, people, people), minlength=people)
        drawn = weights * times[owner]
        for kind in (is_new, ~is_new):
            # the share that the posterior is fitted at stays
            if drawn[kind].sum() > 0:
                drawn[kind] *= weights[kind].sum() / drawn[kind].sum()
        if drawn[is_new].sum() > 0 and drawn[~is_new].sum() > 0:
            n = len(test.score)
            shares.append(_likeliest_share(lists, evaluation_set.truth, drawn, test.take(rng.integers(0, n, n))))
        if progress is not None:
            progress("share of strangers", 1, DRAWS)
    return float(np.std(shares)) if shares else 1.0
