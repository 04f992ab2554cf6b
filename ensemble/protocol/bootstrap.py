"""Bootstrap over individuals: photos of one animal are not independent, so whole individuals are drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ensemble.protocol.evaluation_set import EvaluationSet

DRAWS = 1000
_BLOCK = 50
CONFIDENCE = 0.95
# over fewer individuals a bootstrap tells nothing: of one, every drawn score is the same
FEWEST = 5


class Bootstrap:
    """The same drawn catalogues for every score, so that differences are paired.

    The share of strangers is held at the stated one in every draw.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    seed : int
    """

    def __init__(self, evaluation_set: EvaluationSet, seed: int = 0) -> None:
        self._evaluation_set = evaluation_set
        self._owner = evaluation_set.owner
        self._n = int(evaluation_set.catalogue.labels.max()) + 1
        self._seed = seed

    def draws(self, precisions: np.ndarray) -> np.ndarray:
        """MAP@5 of drawn catalogues.

        Parameters
        ----------
        precisions : (scores, m) float array
            Average precision of every photo of the evaluation set, one row a recipe.

        Returns
        -------
        (DRAWS, scores) float array
        """
        new, weights = self._evaluation_set.is_new, self._evaluation_set.weights
        kinds = []
        for kind in (new, ~new):
            share = weights[kind].sum()
            if share > 0:
                columns = [weights[kind], *((weights * row)[kind] for row in precisions)]
                sums = [np.bincount(self._owner[kind], weights=column, minlength=self._n) for column in columns]
                kinds.append((share, np.stack(sums, axis=1)))
        total = np.zeros((DRAWS, len(precisions)))
        for start, times in self._times():
            for share, owned in kinds:
                drawn = times @ owned
                # a draw without strangers tells nothing about them: their mean over all is left as it is
                plain = np.tile(owned[:, 1:].sum(axis=0) / owned[:, 0].sum(), (_BLOCK, 1))
                gained = np.divide(drawn[:, 1:], drawn[:, :1], out=plain, where=drawn[:, :1] > 0)
                total[start : start + _BLOCK] += share * gained
        return total

    def _times(self) -> Iterator[tuple[int, np.ndarray]]:
        """Block by block, the first draw's number and (_BLOCK, individuals) times each is drawn: always the same."""
        rng = np.random.default_rng(self._seed)
        for start in range(0, DRAWS, _BLOCK):
            drawn = [np.bincount(rng.integers(0, self._n, self._n), minlength=self._n) for _ in range(_BLOCK)]
            yield start, np.stack(drawn).astype(np.float64)

    def individuals(self, group: np.ndarray, groups: int) -> np.ndarray:
        """(groups,) int64: how many individuals have photos with weight in each group; groups as of `grouped`."""
        weighted = self._evaluation_set.weights > 0
        cells = np.unique(group[weighted].astype(np.int64) * self._n + self._owner[weighted])
        return np.bincount(cells // self._n, minlength=groups)

    def interval(self, precision: np.ndarray) -> list[float]:
        """95 % interval of one score."""
        return interval_of(self.draws(precision[None])[:, 0])

    def grouped(self, precisions: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
        """MAP@5 of each group of photos in the drawn catalogues, such as the photos of a fold or a species.

        Every group keeps its own share of strangers in every draw, as the whole does in `draws`.

        Parameters
        ----------
        precisions : (scores, m) float array
        group : (m,) int array
            In [0, groups).
        groups : int

        Returns
        -------
        (DRAWS, groups, scores) float array
            NaN where a group has no weight.
        """
        weights, is_new = self._evaluation_set.weights, self._evaluation_set.is_new
        total = np.zeros((DRAWS, groups, len(precisions)))
        whole = np.bincount(group, weights=weights, minlength=groups)
        # only owners of the kind's photos are looked at: strangers have few
        for kind in (is_new, ~is_new):
            owners, at = np.unique(self._owner[kind], return_inverse=True)
            cell, size = at * groups + group[kind], len(owners) * groups
            columns = [weights[kind], *((weights * row)[kind] for row in precisions)]
            sums = [np.bincount(cell, weights=column, minlength=size).reshape(-1, groups) for column in columns]
            share = sums[0].sum(axis=0)
            owned = np.concatenate(sums, axis=1)
            for start, times in self._times():
                drawn = (times[:, owners] @ owned).reshape(_BLOCK, len(columns), groups)
                for score in range(len(precisions)):
                    plain = np.divide(sums[score + 1].sum(axis=0), share, out=np.zeros(groups), where=share > 0)
                    gained = np.divide(
                        drawn[:, score + 1], drawn[:, 0], out=np.tile(plain, (_BLOCK, 1)), where=drawn[:, 0] > 0
                    )
                    total[start : start + _BLOCK, :, score] += share * gained
        return np.divide(total, whole[:, None], out=np.full_like(total, np.nan), where=whole[:, None] > 0)


def interval_of(draws: np.ndarray) -> list[float]:
    """The middle 95 % of drawn scores."""
    tail = (1 - CONFIDENCE) / 2
    return [float(value) for value in np.quantile(draws, [tail, 1 - tail])]


def prediction_interval(map5: float, draws: np.ndarray, weights: np.ndarray, test_photos: int) -> list[float]:
    """Where the score of a test of `test_photos` photos lies with 95 %.

    The spread of the estimate, and that of the test itself: with as many photos per individual as out-of-fold its
    variance is that of the estimate times (effective out-of-fold photos) / (test photos), effective as by Kish 1965,
    (sum w)^2 / sum w^2.
    """
    effective = float(weights.sum() ** 2 / (weights @ weights))
    spread = float(draws.std()) * np.sqrt(1 + effective / max(test_photos, 1))
    return [max(0.0, map5 - 1.96 * float(spread)), min(1.0, map5 + 1.96 * float(spread))]
