"""What approximate neighbours can cost: photos drawn at random are compared with the whole gallery.

A bound on what is unseen holds for exact lists only: an index passes photos over without a trace. So the answers of a
blend are compared with those that it gives when every photo of the gallery is compared. A photo whose answer scores
otherwise moves MAP@5 by its weight at most; photos are drawn by their weights, so the share of such draws estimates the
weight of all such photos, and its upper confidence limit (Clopper and Pearson 1934) is how far exact neighbours could
lie from what is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import rescored
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.setup import Setup
from ensemble.retrieval.recall import recall_of_lists
from postproc import Ranking, decide
from postproc.neighbours.approximate import EXACT

# photos that are drawn, with replacement, and the seed: none that changes among them bounds MAP@5 by 0.0036
DRAWN, SEED = 1024, 0
CONFIDENCE = 0.975


@dataclass(frozen=True, kw_only=True)
class Approximation(Result):
    """What approximate neighbours were found to miss.

    Attributes
    ----------
    drawn : int
        Photos that were drawn by their weight in the mix, and compared with the whole gallery.
    changed : int
        Those whose answer by rule and threshold scores otherwise then.
    at_most : float
        How much of MAP@5 that stands for at most, with `CONFIDENCE`: by so much intervals are wider on either side.
    recall, recall_first : float
        Share of their nearest photos, and of the very nearest, that lists have; the mean over sources.
    """

    drawn: int
    changed: int
    at_most: float
    recall: float
    recall_first: float

    @classmethod
    def kept_in(cls, blend: Blend) -> Approximation | None:
        """What was measured when a blend was tuned."""
        kept = blend.measured.get("approximation")
        return None if kept is None else cls(**kept)


def upper_limit(changed: int, drawn: int) -> float:
    """The highest share that is not refuted by so many of the drawn (Clopper and Pearson 1934).

    Examples
    --------
    >>> round(upper_limit(0, 1024), 4), round(upper_limit(10, 1024), 4), upper_limit(3, 3)
    (0.0036, 0.0179, 1.0)
    """
    from scipy.special import betaincinv

    return 1.0 if changed == drawn else float(betaincinv(changed + 1, drawn - changed, CONFIDENCE))


def measure_approximation(
    setup: Setup, blend: Blend, ranking: Ranking, progress: Progress | None = None
) -> Approximation | None:
    """Compare drawn photos with the whole gallery; None where neighbours are exact.

    Parameters
    ----------
    setup : Setup
    blend : Blend
    ranking : Ranking
        Of all queries, by the blend.
    progress : callable, optional
    """
    if setup.retriever.neighbours == EXACT:
        return None
    evaluation_set = setup.evaluation_set
    weights = evaluation_set.weights / evaluation_set.weights.sum()
    drawn = np.random.default_rng(SEED).choice(len(weights), DRAWN, p=weights)
    rows = np.unique(evaluation_set.row[drawn])
    whole = rescored(evaluation_set.query_set, blend, ranking, rows, progress, keep=True)
    precision, exact = (
        average_precisions(decide(evaluation_set.lists(each, blend.background), blend.decision), evaluation_set.truth)
        for each in (ranking, whole)
    )
    changed = int((precision != exact)[drawn].sum())
    recall, recall_first = recall_of_lists(evaluation_set.query_set, rows)
    return Approximation(
        drawn=DRAWN,
        changed=changed,
        at_most=upper_limit(changed, DRAWN),
        recall=recall,
        recall_first=recall_first,
    )


def widened(interval: Sequence[float], approximation: Approximation | None) -> list[float]:
    """An interval of a score with what approximate neighbours may have changed, within [0, 1]."""
    by = 0.0 if approximation is None else approximation.at_most
    low, high = interval
    return [max(0.0, low - by), min(1.0, high + by)] if by else [low, high]
