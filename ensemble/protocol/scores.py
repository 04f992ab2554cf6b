"""Scores of answers to an evaluation set: overall, known and new, by fold and species, over shares of strangers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Mix
from cv.new_share import at_share
from ensemble.blend.blend import Blend
from ensemble.protocol.bootstrap import FEWEST, Bootstrap, interval_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup
from postproc import NEW, Ranking

# assumed shares of strangers that the score is told at
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


def summary(evaluation_set: EvaluationSet, precision: np.ndarray) -> dict[str, Any]:
    """`map5`, that of `known` photos and of `new` ones (None where there are none), `new_share`."""
    new = evaluation_set.truth == NEW
    return {
        "map5": float(evaluation_set.weights @ precision),
        "known": mean_of(precision, evaluation_set.weights, ~new),
        "new": mean_of(precision, evaluation_set.weights, new),
        "new_share": float(evaluation_set.weights[new].sum()),
    }


def mean_of(values: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> float | None:
    """Weighted mean over the chosen photos; None where they have no weight."""
    total = weights[chosen].sum()
    return float(weights[chosen] @ values[chosen] / total) if total > 0 else None


def per_species(
    evaluation_set: EvaluationSet, names: list[str], own_species: np.ndarray, precision: np.ndarray, labels: np.ndarray
) -> list[dict[str, Any]]:
    """Figures of every species that has photos.

    Parameters
    ----------
    evaluation set : EvaluationSet
    names : list of str
        Species of the catalogue.
    own_species : (n,) int array
        Species of every question.
    precision : (n + m,) float array
    labels : (n + m, 5) int array
        Answers.

    Returns
    -------
    list of dict
        `species, photos, strangers, map5, known, new, share` (of the mix), `new_first` (share of its photos that are
        answered with somebody new first), `interval` (95 %, of `map5`; None over fewer than `FEWEST` individuals).
    """
    species = np.append(own_species, own_species[evaluation_set.hidden])
    new, n = evaluation_set.truth == NEW, len(evaluation_set.query_set.images)
    first_new = (labels[:, 0] == NEW).astype(np.float64)
    catalogue = evaluation_set.query_set.tasks[0].project.catalogue
    bootstrap = Bootstrap(evaluation_set, catalogue.labels)
    draws = bootstrap.grouped(precision[None], species, len(names))[:, :, 0]
    enough = bootstrap.individuals(species, len(names)) >= FEWEST
    rows = []
    for s, name in enumerate(names):
        own = species == s
        if own.any():
            rows.append(
                {
                    "species": name,
                    "photos": int(own[:n].sum()),
                    "strangers": int((own & new)[:n].sum()),
                    "map5": mean_of(precision, evaluation_set.weights, own),
                    "known": mean_of(precision, evaluation_set.weights, own & ~new),
                    "new": mean_of(precision, evaluation_set.weights, own & new),
                    "share": float(evaluation_set.weights[own].sum()),
                    "new_first": mean_of(first_new, evaluation_set.weights, own),
                    "interval": interval_of(draws[:, s]) if enough[s] else None,
                }
            )
    return rows


def over_shares(setup: Setup, mix: Mix, answers: Callable[[EvaluationSet], np.ndarray]) -> list[dict[str, Any]]:
    """The score at other shares of strangers; shares that no out-of-fold photo can make up are left out.

    Where species have shares of their own, these keep their pattern (`cv.new_share.at_share`). Photos that sit at other
    shares only (hidden ones, where none was stated) are scored among their candidates.

    Returns
    -------
    list of dict
        `new_share, map5, known, new` each.
    """
    found = []
    names, own = setup.evaluation_set.query_set.species_names, setup.evaluation_set.query_set.species.likely
    expected = setup.test_species if mix.gallery_exponent is not None else np.bincount(own, minlength=len(names))
    for share in SHARES:
        with contextlib.suppress(FinblendError):
            evaluation_set = setup.in_mix(at_share(mix, share, names, expected))
            told = summary(evaluation_set, average_precisions(answers(evaluation_set), evaluation_set.truth))
            found.append({key: told[key] for key in ("new_share", "map5", "known", "new")})
    return found


def over_thresholds(
    evaluation_set: EvaluationSet, ranking: Ranking, blend: Blend, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """MAP@5, and the share of answers with somebody new first, at other thresholds of a blend's rule.

    Parameters
    ----------
    evaluation set : EvaluationSet
    ranking : Ranking
        Of all questions, by the blend.
    blend : Blend
    thresholds : (k,) float array

    Returns
    -------
    map5, new_first : (k,) float arrays
    """
    evaluation_set.trials.judge(ranking.take(evaluation_set.rows), blend.background, blend.decision)
    return evaluation_set.trials.over_thresholds(blend.rule, thresholds)


def over_folds(evaluation_set: EvaluationSet, precisions: np.ndarray) -> list[dict[str, Any]]:
    """Scores of several recipes in each fold.

    Parameters
    ----------
    evaluation set : EvaluationSet
    precisions : (scores, n + m) float array

    Returns
    -------
    list of dict
        `fold`, and of each recipe `map5`, that of `known` photos, that of `new` ones, and the `interval` (95 %) of
        `map5`; None where the mix gives a fold no such weight, and no interval over fewer than `FEWEST` individuals.
    """
    catalogue = evaluation_set.query_set.tasks[0].project.catalogue
    ids, fold = np.unique(catalogue.folds[np.append(evaluation_set.rows, evaluation_set.hidden)], return_inverse=True)
    bootstrap = Bootstrap(evaluation_set, catalogue.labels)
    draws = bootstrap.grouped(precisions, fold, len(ids))
    enough = bootstrap.individuals(fold, len(ids)) >= FEWEST
    new = evaluation_set.truth == NEW
    found: list[dict[str, Any]] = []
    for n, name in enumerate(ids.tolist()):
        own = fold == n
        tasks = {"map5": own, "known": own & ~new, "new": own & new}
        scores = {
            key: [mean_of(row, evaluation_set.weights, task) for row in precisions] for key, task in tasks.items()
        }
        intervals = [interval_of(draws[:, n, k]) if enough[n] else None for k in range(len(precisions))]
        found.append({"fold": name, **scores, "interval": intervals})
    return found
