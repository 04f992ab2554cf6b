"""The share of strangers that a command works with: a number, a table by species, or estimated from the test photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix, check_share
from cv.new_share import read_new_shares
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.setup import Setup, read_setup
from ensemble.retrieval.query_set import queries_of_test
from postproc import NEW, Ranking
from postproc.calibration.calibration import estimate_new_share
from postproc.calibration.posterior import SOMEBODY_NEW, fit_posterior

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
class NewShareEstimate:
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def warnings(self) -> list[str]:
        """What to tell of it."""
        if self.settled:
            return []
        told = ", ".join(f"{share:.3f}" for share in self.rounds)
        return [f"the estimated share of strangers has not settled after {len(self.rounds)} rounds ({told}): state one"]


def setup_at_share(
    project: Project,
    new_share: ShareLike,
    gallery_exponent: float | None,
    names: list[str] | None = None,
    progress: Progress | None = None,
    blend: Blend | None = None,
    wanted: tuple[str, ...] = (),
) -> tuple[Setup, Mix, NewShareEstimate | None]:
    """Set the evaluation set at a share of strangers that is stated, read from a table, or estimated here.

    Parameters
    ----------
    project : Project
    new_share : float, mapping, path, "estimate" or None
    gallery_exponent : float or None
        See `cv.Mix`.
    names : list of str, optional
        Which models; all by default.
    progress : callable, optional
    blend : Blend, optional
        Its whitening and operators are kept, and an estimate rests on its scores; on equal weights by default.
    wanted : tuple of str
        Operators to choose among.

    Returns
    -------
    setup : Setup
    mix : Mix
    estimate : Estimate or None
        Where the share was estimated.
    """
    whitening, operators = (None, None) if blend is None else (blend.whitening, blend.applied)
    share = stated_share(project, new_share)
    if not isinstance(share, str):
        mix = Mix(share, gallery_exponent)
        return read_setup(project, mix, names, progress, whitening, operators, wanted), mix, None
    try:
        setup = read_setup(project, Mix(START, gallery_exponent), names, progress, whitening, operators, wanted)
        estimate = estimate_share(project, setup, gallery_exponent, blend, progress)
    except FinblendError as error:
        raise FinblendError(f"--new-share {ESTIMATE}: {error}") from None
    mix = Mix(estimate.share, gallery_exponent)
    return replace(setup, evaluation_set=setup.in_mix(mix)), mix, estimate


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
            return read_new_shares(text, project.catalogue.species, project.repairs)
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
    kept = ESTIMATE if blend.measured.get("estimate") else blend.mix.get("new_share")
    told = "an estimate" if kept == ESTIMATE else "a table's" if isinstance(kept, Mapping) else kept
    line = f"no --new-share was given: {told} is kept, as of the blend that was here ({RAW} would be the raw share)"
    return kept, [] if kept is None else [line]


def estimate_share(
    project: Project,
    setup: Setup,
    gallery_exponent: float | None,
    blend: Blend | None = None,
    progress: Progress | None = None,
) -> NewShareEstimate:
    """Estimate the share of strangers among the test photos.

    A posterior (`postproc.calibration.posterior`) is fitted to the evaluation set at one share, expectation
    maximisation finds the share at which the test photos are likeliest, and the evaluation set is set again at that
    share, until it moves no more.

    Parameters
    ----------
    project : Project
    setup : Setup
    gallery_exponent : float or None
        Of the mix.
    blend : Blend, optional
        Whose scores; equal weights against the whole background by default.
    progress : callable, optional
    """
    names = list(setup.models)
    if blend is None:
        blend = Blend({name: 1 / len(names) for name in names}, dict(setup.whitening), background=1.0)
    query_set = queries_of_test(project, setup.models, setup.whitening, "folds", progress, setup.operators)
    # among the candidates, on both sides: what they leave open is left open alike
    test = ranking_of(query_set, blend).against_background(blend.background)
    ranking = ranking_of(setup.evaluation_set.query_set, blend)
    share, rounds = START, list[float]()
    while True:
        before, evaluation_set = share, setup.in_mix(Mix(share, gallery_exponent))
        lists = evaluation_set.ranking(ranking, blend.background)
        share = _found(lists, evaluation_set.truth, evaluation_set.weights, test)
        rounds.append(share)
        settled = abs(share - before) < MOVED
        if settled or len(rounds) == ROUNDS:
            break
    owner = project.catalogue.labels[np.append(evaluation_set.rows, evaluation_set.hidden)]
    return NewShareEstimate(
        share, _error(lists, evaluation_set.truth, evaluation_set.weights, owner, test, progress), rounds, settled
    )


def _found(lists: Ranking, truth: np.ndarray, weights: np.ndarray, test: Ranking) -> float:
    """The share that makes the test photos likeliest, by a posterior fitted to the evaluation set."""
    probability = fit_posterior(lists, truth, weights).of(test)[:, SOMEBODY_NEW]
    found = estimate_new_share(probability, float(weights[truth == NEW].sum() / weights.sum()))
    return round(float(np.clip(found, LEAST, MOST)), 4)


def _error(
    lists: Ranking,
    truth: np.ndarray,
    weights: np.ndarray,
    owner: np.ndarray,
    test: Ranking,
    progress: Progress | None,
) -> float:
    """Spread of the share over drawn catalogues (whole individuals, for their photos are alike) and drawn tests."""
    rng = np.random.default_rng(0)
    new, found = truth == NEW, list[float]()
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, owner.max() + 1, owner.max() + 1), minlength=owner.max() + 1)
        drawn = weights * times[owner]
        for kind in (new, ~new):
            # the share that the posterior is fitted at stays
            if drawn[kind].sum() > 0:
                drawn[kind] *= weights[kind].sum() / drawn[kind].sum()
        if drawn[new].sum() > 0 and drawn[~new].sum() > 0:
            n = len(test.score)
            found.append(_found(lists, truth, drawn, test.take(rng.integers(0, n, n))))
        if progress is not None:
            progress("share of strangers", 1, DRAWS)
    return float(np.std(found)) if found else 1.0
