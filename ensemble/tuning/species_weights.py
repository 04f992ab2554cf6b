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

from cv.paired import ONE_ERROR, PairedTest, clearly_better
from ensemble.blend.blend import Blend
from ensemble.protocol.evaluation_set import EvaluationSet

KAPPAS = (100.0, 400.0, 1600.0)
# rarer species stay with the global weights
MIN_PHOTOS = 200
_RANDOM, _FROM_TRIALS, _AVERAGED = 24, 24, 3
# random weights are drawn around the global ones (Dirichlet; the larger, the nearer)
_NEARNESS = 6.0


def with_species_weights(
    evaluation_set: EvaluationSet, blend: Blend, tried: Sequence[dict[str, float]], seed: int = 0
) -> tuple[Blend, float | None]:
    """Give a blend weights per species if these prove better.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    blend : Blend
        With its decision; only its weights change.
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
    species, fold, weights_of_rows = evaluation_set.species, evaluation_set.fold, evaluation_set.weights
    species_names = evaluation_set.query_set.species_names
    photos = np.bincount(species[~evaluation_set.is_simulated], minlength=len(species_names))
    # nothing can be told of a species that no test photo has: its photos have no weight
    worth = np.bincount(species, weights=weights_of_rows, minlength=len(photos))
    frequent = np.flatnonzero((photos >= MIN_PHOTOS) & (worth > 0))
    ids = np.unique(fold)
    if len(names) < 2 or len(frequent) < 2 or len(ids) < 2:
        return blend, None
    pool = _pool(blend, tried, seed)
    # (pool, folds, species) sums of weighted precision
    table = np.zeros((len(pool), len(ids), len(photos)))
    for n, weights in enumerate(pool):
        other = replace(blend, weights=dict(zip(names, weights, strict=True)))
        gained = weights_of_rows * evaluation_set.score(other, blend.decision).precision
        for f, one_fold in enumerate(ids):
            inside = fold == one_fold
            table[n, f] = np.bincount(species[inside], weights=gained[inside], minlength=len(photos))

    def shrunk(totals: np.ndarray, kappa: float) -> Blend:
        by_species = {}
        for s in frequent:
            chosen = pool[np.argsort(-totals[:, s], kind="stable")[:_AVERAGED]].mean(axis=0)
            share = photos[s] / (photos[s] + kappa)
            mixed = share * chosen + (1 - share) * pool[0]
            by_species[species_names[s]] = dict(zip(names, (mixed / mixed.sum()).tolist(), strict=True))
        return replace(blend, species_weights=by_species)

    with_global = evaluation_set.score(blend, blend.decision).precision
    best, chosen_kappa = 0.0, None
    for kappa in KAPPAS:
        gain = np.zeros(len(species))
        for f, one_fold in enumerate(ids):
            others = table.sum(axis=1) - table[:, f]
            inside = fold == one_fold
            precision = evaluation_set.score(shrunk(others, kappa), blend.decision).precision
            gain[inside] = precision[inside] - with_global[inside]
        test = PairedTest.of_photos(gain, weights_of_rows)
        if clearly_better(test, ONE_ERROR) and test.gain > best:
            best, chosen_kappa = test.gain, kappa
    if chosen_kappa is None:
        return blend, None
    return shrunk(table.sum(axis=1), chosen_kappa), chosen_kappa


def _pool(blend: Blend, tried: Sequence[dict[str, float]], seed: int) -> np.ndarray:
    """(pool, sources) weights to choose from, the global ones first."""
    names = list(blend.weights)
    centre = np.array([blend.weights[name] for name in names])
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet(_NEARNESS * centre + 0.3, _RANDOM)
    weights = [[each.get(name, 0.0) for name in names] for each in tried[:_FROM_TRIALS]]
    known = np.array(weights).reshape(-1, len(names))
    return np.concatenate([centre[None], known, drawn])
