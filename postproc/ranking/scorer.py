"""From a recipe to MAP@5 with its exact threshold and a guarantee, thousands of times over the same evidence.

Lists, scores and events of every recipe are written into the same arrays; what it reaches is returned, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.metrics import MAX_NAMES
from postproc.evidence.evidence import Evidence
from postproc.ranking.decision import RULES, Decision, Sweep
from postproc.ranking.rank import Ranker, Species
from postproc.ranking.ranking import DEPTH, Ranking
from postproc.ranking.scorer_kernels import prepare_lists, score_lists, weighted_sums


@dataclass(frozen=True, eq=False, kw_only=True)
class BlendScore:
    """What a recipe reaches.

    Attributes
    ----------
    map5 : float
        Over the candidates.
    lower, upper : float
        What MAP@5 lies between when the whole gallery is looked at, at this decision.
    undecided : float
        Weighted share of the photos whose precision the bound does not settle.
    decision : Decision
    precision : (m,) float64 array
        Average precision of each photo, over the candidates.
    precision_lower, precision_upper : (m,) float64 arrays
        What it lies between when the whole gallery is looked at.
    """

    map5: float
    lower: float
    upper: float
    undecided: float
    decision: Decision
    precision: np.ndarray
    precision_lower: np.ndarray
    precision_upper: np.ndarray

    @property
    def is_undecided(self) -> np.ndarray:
        """(m,) bool: the photos whose precision the candidates do not settle."""
        return np.asarray(self.precision_lower < self.precision_upper)


class BlendScorer:
    """Photos with known answers, ready to be scored by recipe after recipe.

    Parameters
    ----------
    evidence : Evidence
    species : Species or None
    truth : (n,) int array
        The right label of each query; negative for strangers.
    weights : (m,) float array
        One for each of `rows`, then one for each of `hidden`.
    rows : (r,) int array, optional
        The queries that are scored as themselves; all by default.
    hidden : (h,) int array, optional
        Those of the rows that are scored again as strangers, their individual hidden from the gallery.
    """

    def __init__(
        self,
        evidence: Evidence,
        species: Species | None,
        truth: np.ndarray,
        weights: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        hidden: np.ndarray | None = None,
    ) -> None:
        self.rows = np.arange(evidence.n_queries) if rows is None else np.asarray(rows, dtype=np.int64)
        hidden = self.rows[:0] if hidden is None else np.asarray(hidden, dtype=np.int64)
        self.ranker = Ranker(evidence, species, self.rows)
        position = np.full(evidence.n_queries, -1, dtype=np.int64)
        position[self.rows] = np.arange(len(self.rows))
        self.query = np.append(np.arange(len(self.rows)), position[hidden])
        self.truth = np.append(truth[self.rows], np.full(len(hidden), -1)).astype(np.int32)
        self.hide = np.append(np.full(len(self.rows), -1), truth[hidden]).astype(np.int32)
        self.weights = np.asarray(weights, dtype=np.float64)
        m = len(self.query)
        self._score = np.empty((m, MAX_NAMES), dtype=np.float32)
        self._raw = np.empty((m, DEPTH - 1), dtype=np.float32)
        self._names, self._place = np.empty(m, dtype=np.int8), np.empty(m, dtype=np.int8)
        people = np.zeros(evidence.n_queries) if evidence.people is None else evidence.people
        self._full = (people >= DEPTH)[self.rows]
        self._certain = np.full(len(self.rows), -np.inf, dtype=np.float32)
        self._sweep = Sweep(m)

    def score(
        self,
        weights: np.ndarray,
        *,
        top_photos: int = 1,
        species_penalty: float = 0.0,
        background: float = 0.0,
        recipe: np.ndarray | None = None,
        decision: Decision | None = None,
    ) -> BlendScore:
        """Score one recipe; parameters as of `postproc.rank`, `Ranking.against_background` and `decide`.

        Without a decision the best rule and threshold are solved exactly.
        """
        ranking = self.ranker.rank(weights, top_photos=top_photos, species_penalty=species_penalty, recipe=recipe)
        return self.score_ranking(ranking, background, decision)

    def score_ranking(self, ranking: Ranking, background: float, decision: Decision | None = None) -> BlendScore:
        """Score a ranking of the rows, seven deep with its bound."""
        self._prepare(ranking, background)
        bound = self._certain if ranking.unseen_upper_bound is None else ranking.unseen_upper_bound
        if decision is None:
            decision = self._best_decision()
        precision, lower, upper = (np.empty(len(self.query)) for _ in range(3))
        score_lists(
            RULES.index(decision.rule),
            np.float64(decision.threshold),
            self.query,
            bound,
            self._full,
            self._score,
            self._names,
            self._place,
            self._raw,
            np.float64(background),
            precision,
            lower,
            upper,
        )
        map5, least, most, undecided = weighted_sums(self.weights, precision, lower, upper)
        return BlendScore(
            map5=map5,
            lower=least,
            upper=most,
            undecided=undecided,
            decision=decision,
            precision=precision,
            precision_lower=lower,
            precision_upper=upper,
        )

    def _prepare(self, ranking: Ranking, background: float) -> None:
        """Write the lists of a ranking, their scores against the background and the place of the true name."""
        prepare_lists(
            self.query,
            self.hide,
            self.truth,
            ranking.individual,
            ranking.score,
            np.float64(background),
            self._score,
            self._names,
            self._place,
            self._raw,
        )

    def over_thresholds(
        self, ranking: Ranking, background: float, rule: str, thresholds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """MAP@5 of a ranking of the rows, and the share of lists with somebody new first, at thresholds of a rule."""
        self._prepare(ranking, background)
        curve = self._sweep.curve(rule, self._score, self._names, self._place, self.weights, thresholds)
        # nobody stands before somebody new where there is no name
        best = np.where(self._names > 0, self._score[:, 0].astype(np.float64), -np.inf)
        order = np.argsort(best)
        total = np.append(0.0, np.cumsum(self.weights[order]))
        return curve, np.asarray(total[np.searchsorted(best[order], thresholds, side="left")])

    def _best_decision(self) -> Decision:
        """The best rule and threshold for the lists that are prepared."""
        found = [self._sweep.solve(rule, self._score, self._names, self._place, self.weights) for rule in RULES]
        return max(found, key=lambda solved: solved[1])[0]
