"""What is told of answers to an exam: overall, per known and new, per fold and species, over shares of strangers."""

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
from ensemble.protocol.evaluation_set import Exam
from ensemble.protocol.setup import Desk
from postproc import NEW, Ranking

# assumed shares of strangers that the score is told at
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


def summary(exam: Exam, precision: np.ndarray) -> dict[str, Any]:
    """`map5`, that of `known` photos and of `new` ones (None where there are none), `new_share`."""
    new = exam.truth == NEW
    return {
        "map5": float(exam.weights @ precision),
        "known": mean_of(precision, exam.weights, ~new),
        "new": mean_of(precision, exam.weights, new),
        "new_share": float(exam.weights[new].sum()),
    }


def mean_of(values: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> float | None:
    """Weighted mean over the chosen photos; None where they have no weight."""
    total = weights[chosen].sum()
    return float(weights[chosen] @ values[chosen] / total) if total > 0 else None


def per_species(
    exam: Exam, names: list[str], own_species: np.ndarray, precision: np.ndarray, labels: np.ndarray
) -> list[dict[str, Any]]:
    """Figures of every species that has photos.

    Parameters
    ----------
    exam : Exam
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
    species = np.append(own_species, own_species[exam.hidden])
    new, n = exam.truth == NEW, len(exam.questions.images)
    first_new = (labels[:, 0] == NEW).astype(np.float64)
    catalogue = exam.questions.parts[0].project.catalogue
    bootstrap = Bootstrap(exam, catalogue.labels)
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
                    "map5": mean_of(precision, exam.weights, own),
                    "known": mean_of(precision, exam.weights, own & ~new),
                    "new": mean_of(precision, exam.weights, own & new),
                    "share": float(exam.weights[own].sum()),
                    "new_first": mean_of(first_new, exam.weights, own),
                    "interval": interval_of(draws[:, s]) if enough[s] else None,
                }
            )
    return rows


def over_shares(desk: Desk, mix: Mix, answers: Callable[[Exam], np.ndarray]) -> list[dict[str, Any]]:
    """The score at other shares of strangers; shares that no out-of-fold photo can make up are left out.

    Where species have shares of their own, these keep their pattern (`cv.new_share.at_share`). Photos that sit at other
    shares only (hidden ones, where none was stated) are scored among their candidates.

    Returns
    -------
    list of dict
        `new_share, map5, known, new` each.
    """
    found = []
    names, own = desk.exam.questions.species_names, desk.exam.questions.species.likely
    expected = desk.test_species if mix.gallery_exponent is not None else np.bincount(own, minlength=len(names))
    for share in SHARES:
        with contextlib.suppress(FinblendError):
            exam = desk.resit(at_share(mix, share, names, expected))
            told = summary(exam, average_precisions(answers(exam), exam.truth))
            found.append({key: told[key] for key in ("new_share", "map5", "known", "new")})
    return found


def over_thresholds(
    exam: Exam, ranking: Ranking, blend: Blend, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """MAP@5, and the share of answers with somebody new first, at other thresholds of a blend's rule.

    Parameters
    ----------
    exam : Exam
    ranking : Ranking
        Of all questions, by the blend.
    blend : Blend
    thresholds : (k,) float array

    Returns
    -------
    map5, new_first : (k,) float arrays
    """
    exam.trials.judge(ranking.take(exam.rows), blend.background, blend.decision)
    return exam.trials.over_thresholds(blend.rule, thresholds)


def over_folds(exam: Exam, precisions: np.ndarray) -> list[dict[str, Any]]:
    """Scores of several recipes in each fold.

    Parameters
    ----------
    exam : Exam
    precisions : (scores, n + m) float array

    Returns
    -------
    list of dict
        `fold`, and of each recipe `map5`, that of `known` photos, that of `new` ones, and the `interval` (95 %) of
        `map5`; None where the mix gives a fold no such weight, and no interval over fewer than `FEWEST` individuals.
    """
    catalogue = exam.questions.parts[0].project.catalogue
    ids, fold = np.unique(catalogue.folds[np.append(exam.rows, exam.hidden)], return_inverse=True)
    bootstrap = Bootstrap(exam, catalogue.labels)
    draws = bootstrap.grouped(precisions, fold, len(ids))
    enough = bootstrap.individuals(fold, len(ids)) >= FEWEST
    new = exam.truth == NEW
    found: list[dict[str, Any]] = []
    for n, name in enumerate(ids.tolist()):
        own = fold == n
        parts = {"map5": own, "known": own & ~new, "new": own & new}
        scores = {key: [mean_of(row, exam.weights, part) for row in precisions] for key, part in parts.items()}
        intervals = [interval_of(draws[:, n, k]) if enough[n] else None for k in range(len(precisions))]
        found.append({"fold": name, **scores, "interval": intervals})
    return found
