"""Scores of answers to an evaluation set: overall, known and new, by fold and species, over shares of strangers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.new_share import at_share
from ensemble.project.result import Result
from ensemble.protocol.bootstrap import FEWEST, Bootstrap, interval_of
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup
from postproc import NEW

# assumed shares of strangers that the score is told at
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class Summary(Result):
    """A score in the mix.

    Attributes
    ----------
    map5 : float
    known, new : float or None
        Of known photos, of strangers; None where there are none.
    new_share : float
        Weight of strangers.
    """

    map5: float
    known: float | None
    new: float | None
    new_share: float


@dataclass(frozen=True)
class ScoreAtShare(Result):
    """The score at an assumed share of strangers; fields as of `Summary`."""

    new_share: float
    map5: float
    known: float | None
    new: float | None


@dataclass(frozen=True, kw_only=True)
class SpeciesScore(Result):
    """Figures of one species.

    Attributes
    ----------
    species : str
    photos, strangers : int
    map5, known, new : float or None
        None where the mix gives no such photo weight.
    share : float
        Of the mix.
    new_first : float or None
        Share of its photos that are answered with somebody new first.
    interval : list of float or None
        95 %, of `map5`; None over fewer than `FEWEST` individuals.
    """

    species: str
    photos: int
    strangers: int
    map5: float | None
    known: float | None
    new: float | None
    share: float
    new_first: float | None
    interval: list[float] | None


def summary(evaluation_set: EvaluationSet, precision: np.ndarray) -> Summary:
    """The score of answers with an average precision a row."""
    return Summary(
        float(evaluation_set.weights @ precision),
        mean_of(precision, evaluation_set.weights, ~evaluation_set.is_new),
        mean_of(precision, evaluation_set.weights, evaluation_set.is_new),
        evaluation_set.new_share,
    )


def mean_of(values: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> float | None:
    """Weighted mean over the chosen rows; None where they have no weight."""
    total = weights[chosen].sum()
    return float(weights[chosen] @ values[chosen] / total) if total > 0 else None


def per_species(evaluation_set: EvaluationSet, precision: np.ndarray, labels: np.ndarray) -> list[SpeciesScore]:
    """Figures of every species that has photos.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    precision : (n + m,) float array
    labels : (n + m, 5) int array
        Answers.
    """
    catalogue, weights = evaluation_set.catalogue, evaluation_set.weights
    names, species = catalogue.species, catalogue.species_of_individual[evaluation_set.owner]
    is_new, as_itself = evaluation_set.is_new, ~evaluation_set.is_simulated
    first_new = (labels[:, 0] == NEW).astype(np.float64)
    bootstrap = Bootstrap(evaluation_set)
    draws = bootstrap.grouped(precision[None], species, len(names))[:, :, 0]
    has_enough = bootstrap.individuals(species, len(names)) >= FEWEST
    scores = []
    for s, name in enumerate(names):
        of_species = species == s
        if of_species.any():
            scores.append(
                SpeciesScore(
                    species=name,
                    photos=int((of_species & as_itself).sum()),
                    strangers=int((of_species & is_new & as_itself).sum()),
                    map5=mean_of(precision, weights, of_species),
                    known=mean_of(precision, weights, of_species & ~is_new),
                    new=mean_of(precision, weights, of_species & is_new),
                    share=float(weights[of_species].sum()),
                    new_first=mean_of(first_new, weights, of_species),
                    interval=interval_of(draws[:, s]) if has_enough[s] else None,
                )
            )
    return scores


def over_shares(setup: Setup, answers: Callable[[EvaluationSet], np.ndarray]) -> list[ScoreAtShare]:
    """The score at other shares of strangers; shares that no out-of-fold photo can make up are left out.

    Where species have shares of their own, these keep their pattern (`cv.new_share.at_share`). Photos that stand at
    other shares only (simulated strangers, where no share was stated) are scored among their candidates.
    """
    scores, query_set = [], setup.evaluation_set.query_set
    expected = (
        setup.test_species
        if setup.mix.gallery_exponent is not None
        else np.bincount(query_set.species.likely, minlength=len(query_set.species_names))
    )
    for share in SHARES:
        with contextlib.suppress(FinblendError):
            mix = at_share(setup.mix, share, query_set.species_names, expected)
            evaluation_set = setup.evaluation_set_in(mix)
            score = summary(evaluation_set, average_precisions(answers(evaluation_set), evaluation_set.truth))
            scores.append(ScoreAtShare(score.new_share, score.map5, score.known, score.new))
    return scores


def over_folds(evaluation_set: EvaluationSet, precisions: np.ndarray) -> list[dict[str, Any]]:
    """Scores of several recipes in each fold.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    precisions : (scores, n + m) float array

    Returns
    -------
    list of dict
        `fold`, and of each recipe `map5`, that of `known` photos, that of `new` ones, and the `interval` (95 %) of
        `map5`; None where the mix gives a fold no such weight, and no interval over fewer than `FEWEST` individuals.
    """
    ids, fold = np.unique(evaluation_set.fold, return_inverse=True)
    bootstrap = Bootstrap(evaluation_set)
    draws = bootstrap.grouped(precisions, fold, len(ids))
    has_enough = bootstrap.individuals(fold, len(ids)) >= FEWEST
    is_new = evaluation_set.is_new
    table: list[dict[str, Any]] = []
    for n, name in enumerate(ids.tolist()):
        inside = fold == n
        kinds = {"map5": inside, "known": inside & ~is_new, "new": inside & is_new}
        scores = {
            key: [mean_of(row, evaluation_set.weights, kind) for row in precisions] for key, kind in kinds.items()
        }
        intervals = [interval_of(draws[:, n, k]) if has_enough[n] else None for k in range(len(precisions))]
        table.append({"fold": name, **scores, "interval": intervals})
    return table
