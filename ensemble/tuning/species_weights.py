"""Weights per species, shrunk towards the global ones by as much as proves right on other folds.

A species' own weights are the mean of the best of a pool of weights, judged on its photos; with n photos they count
n / (n + kappa) and the global weights the rest. In-sample, no shrinkage would always look best, so kappa is chosen by
cross-fitting: own weights from all folds but one, scored on that one. Kappa = infinity, the global weights for all, is
kept unless another value is better by more than a standard error of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.protocol.evaluation_set import EvaluationSet

KAPPAS = (100.0, 400.0, 1600.0)
# rarer species stay with the global weights
MIN_PHOTOS = 200
_RANDOM, _FROM_TRIALS, _AVERAGED = 24, 24, 3
# random weights are drawn around the global ones (Dirichlet; the larger, the nearer)
_NEARNESS = 6.0


def with_species_weights(
    evaluation_set: EvaluationSet, blend: Blend, folds: np.ndarray, tried: Sequence[dict[str, float]], seed: int = 0
) -> tuple[Blend, float | None]:
    """Give a blend weights per species if these prove better.

    Parameters
    ----------
    evaluation set : EvaluationSet
    blend : Blend
        With its decision; only its weights change.
    folds : (n,) int array
        Fold of every question.
    tried : sequence of dict
        Weights that did well in the search, best first.
    seed : int

    Returns
    -------
    blend : Blend
    kappa : float or None
        None where the global weights stay.
    """
    names = list(blend.weights)
    sat = evaluation_set.rows[evaluation_set.trials.query]
    species, fold = evaluation_set.query_set.species.likely[sat], folds[sat]
    photos = np.bincount(
        evaluation_set.query_set.species.likely[evaluation_set.rows],
        minlength=len(evaluation_set.query_set.species_names),
    )
    # nothing can be told of a species that no test photo has: its photos have no weight
    worth = np.bincount(species, weights=evaluation_set.weights, minlength=len(photos))
    frequent = np.flatnonzero((photos >= MIN_PHOTOS) & (worth > 0))
    ids = np.unique(fold)
    if len(names) < 2 or len(frequent) < 2 or len(ids) < 2:
        return blend, None
    pool = _pool(blend, tried, seed)
    # (pool, folds, species) sums of weighted precision
    table = np.zeros((len(pool), len(ids), len(photos)))
    for n, weights in enumerate(pool):
        evaluation_set.run(replace(blend, weights=dict(zip(names, weights, strict=True))), blend.decision)
        gained = evaluation_set.weights * evaluation_set.trials.precision
        for f, one in enumerate(ids):
            table[n, f] = np.bincount(species[fold == one], weights=gained[fold == one], minlength=len(photos))

    def shrunk(totals: np.ndarray, kappa: float) -> Blend:
        own = {}
        for s in frequent:
            chosen = pool[np.argsort(-totals[:, s], kind="stable")[:_AVERAGED]].mean(axis=0)
            share = photos[s] / (photos[s] + kappa)
            mixed = share * chosen + (1 - share) * pool[0]
            own[evaluation_set.query_set.species_names[s]] = dict(
                zip(names, (mixed / mixed.sum()).tolist(), strict=True)
            )
        return replace(blend, species_weights=own)

    evaluation_set.run(blend, blend.decision)
    plain = evaluation_set.trials.precision.copy()
    best, chosen_kappa = 0.0, None
    for kappa in KAPPAS:
        gain = np.zeros(len(sat))
        for f, one in enumerate(ids):
            others = table.sum(axis=1) - table[:, f]
            evaluation_set.run(shrunk(others, kappa), blend.decision)
            here = fold == one
            gain[here] = evaluation_set.trials.precision[here] - plain[here]
        mean = float(evaluation_set.weights @ gain)
        error = float(np.sqrt((evaluation_set.weights**2) @ (gain - mean) ** 2))
        if mean > max(best, error):
            best, chosen_kappa = mean, kappa
    if chosen_kappa is None:
        return blend, None
    return shrunk(table.sum(axis=1), chosen_kappa), chosen_kappa


def _pool(blend: Blend, tried: Sequence[dict[str, float]], seed: int) -> np.ndarray:
    """(pool, sources) weights to choose from, the global ones first."""
    names = list(blend.weights)
    centre = np.array([blend.weights[name] for name in names])
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet(_NEARNESS * centre + 0.3, _RANDOM)
    known = np.array([[own.get(name, 0.0) for name in names] for own in tried[:_FROM_TRIALS]]).reshape(-1, len(names))
    return np.concatenate([centre[None], known, drawn])
