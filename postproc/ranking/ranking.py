"""The best individuals of each query, and what is done with their lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cv.metrics import MAX_NAMES

# five to answer with, one more to tell the background from, one more for an individual that is hidden
DEPTH = MAX_NAMES + 2


def columns_without(individual: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(n, m - 1): the columns of (n, m) individuals without each row's hidden one, or without the last."""
    hit = individual == hidden[:, None]
    at = np.where(hit.any(axis=1), hit.argmax(axis=1), individual.shape[1] - 1)
    columns = np.arange(individual.shape[1] - 1)
    return np.asarray(columns + (columns >= at[:, None]))


@dataclass(frozen=True)
class Ranking:
    """The best individuals of each query.

    Attributes
    ----------
    individual : (n, m) int32 array
        Best first; -1 where there are fewer candidates.
    score : (n, m) float32 array
        -inf where there is nobody.
    photo : (n, m) int32 array
        The gallery photo most like the query, in the blend.
    unseen_upper_bound : (n,) float32 array, optional
        The most that anybody can score who has no candidate photo, or whose photos outside the candidates could raise
        the score into the list: what scores above it is certain. -inf where everything is known, inf where a listed
        mean lacks photos.
    """

    individual: np.ndarray
    score: np.ndarray
    photo: np.ndarray
    unseen_upper_bound: np.ndarray | None = None

    def first(self, depth: int) -> Ranking:
        """The best `depth` of each query."""
        return self._columns(lambda array: array[:, :depth])

    def take(self, rows: np.ndarray) -> Ranking:
        """The lists of some queries."""
        bound = None if self.unseen_upper_bound is None else self.unseen_upper_bound[rows]
        return Ranking(self.individual[rows], self.score[rows], self.photo[rows], bound)

    def _columns(self, change: Callable[[np.ndarray], np.ndarray]) -> Ranking:
        return Ranking(change(self.individual), change(self.score), change(self.photo), self.unseen_upper_bound)

    def is_open(self, depth: int) -> np.ndarray:
        """(n,) bool: whether the first `depth` places could change if the whole gallery were looked at."""
        bound = self.unseen_upper_bound
        if bound is None:
            return np.zeros(len(self.score), dtype=bool)
        return np.asarray(np.isposinf(bound) | ~((self.score[:, depth - 1] > bound) | np.isneginf(bound)))

    def hiding(self, individuals: np.ndarray) -> Ranking:
        """Take one individual out of each query's ranking, as if the gallery had never known it.

        Parameters
        ----------
        individuals : (n,) int array

        Returns
        -------
        Ranking
            One place shorter; exact, because a list of m - 1 needs no more than m names.

        Examples
        --------
        >>> ranking = Ranking(np.array([[7, 3, 5]]), np.array([[0.9, 0.8, 0.7]]), np.array([[0, 1, 2]]))
        >>> ranking.hiding(np.array([3])).individual
        array([[7, 5]])
        """
        columns = columns_without(self.individual, individuals)
        return self._columns(lambda array: np.take_along_axis(array, columns, axis=1))

    def against_background(self, factor: float) -> Ranking:
        """Take `factor` times the query's background off its scores, and keep the best five.

        The background is the mean score of the runners-up, places 2 to 6: what this photo scores with animals it does
        not show. A blurred photo scores low with everybody, its own individual included, and would pass for somebody
        new; what stands out from its own background does not. (Test normalisation: Auckenthaler, Carey
        and Lloyd-Thomas 2000, "Score normalization for text-independent speaker verification systems".) The order of
        names does not change.

        Parameters
        ----------
        factor : float >= 0

        Returns
        -------
        Ranking

        Examples
        --------
        >>> ranking = Ranking(np.array([[7, 3]]), np.array([[0.75, 0.5]]), np.array([[0, 1]]))
        >>> ranking.against_background(1.0).score
        array([[0.25, 0.  ]], dtype=float32)
        """
        runners_up = self.score[:, 1 : MAX_NAMES + 1].astype(np.float64)
        is_present = np.isfinite(runners_up)
        mean = np.where(is_present, runners_up, 0.0).sum(axis=1) / np.maximum(is_present.sum(axis=1), 1)
        best = self.first(MAX_NAMES)
        # float32, as the compiled trial has them: thresholds lie between such numbers
        score = (best.score.astype(np.float64) - factor * mean[:, None]).astype(np.float32)
        return Ranking(best.individual, score, best.photo)
