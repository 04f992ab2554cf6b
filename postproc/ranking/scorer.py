"""Trials: from a recipe to MAP@5 with its exact threshold and a guarantee, thousands of times over the same evidence.

Nothing is allocated per trial but a few numbers: lists, scores, events and bounds are written into the same arrays.
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


@dataclass(frozen=True)
class BlendScore:
    """What a recipe reaches.

    Attributes
    ----------
    map5 : float
        Over the candidates.
    least, most : float
        What MAP@5 lies between when the whole gallery is looked at, at this decision.
    open : float
        Weighted share of the photos whose precision the bound does not settle.
    decision : Decision
    """

    map5: float
    least: float
    most: float
    open: float
    decision: Decision


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
        The queries that sit; all by default.
    hidden : (h,) int array, optional
        Those of the rows that sit again as strangers, their individual hidden from the gallery.
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
        self.score = np.empty((m, MAX_NAMES), dtype=np.float32)
        self.raw = np.empty((m, DEPTH - 1), dtype=np.float32)
        self.names, self.place = np.empty(m, dtype=np.int8), np.empty(m, dtype=np.int8)
        self.precision, self.least, self.most = np.empty(m), np.empty(m), np.empty(m)
        people = np.zeros(evidence.n_queries) if evidence.people is None else evidence.people
        self._full = (people >= DEPTH)[self.rows]
        self._certain = np.full(len(self.rows), -np.inf, dtype=np.float32)
        self._sweep = Sweep(m)

    def run(
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

        Without a decision the best rule and threshold are solved exactly. Afterwards `precision`, `least` and `most`
        hold each photo's share: (m,) arrays that the next call overwrites.
        """
        ranking = self.ranker.rank(weights, top_photos=top_photos, species_penalty=species_penalty, recipe=recipe)
        return self.judge(ranking, background, decision)

    def judge(self, ranking: Ranking, background: float, decision: Decision | None = None) -> BlendScore:
        """Score a ranking of the rows, seven deep with its bound."""
        prepare_lists(
            self.query,
            self.hide,
            self.truth,
            ranking.individual,
            ranking.score,
            np.float64(background),
            self.score,
            self.names,
            self.place,
            self.raw,
        )
        bound = self._certain if ranking.unseen_upper_bound is None else ranking.unseen_upper_bound
        if decision is None:
            decision = self.best_decision()
        score_lists(
            RULES.index(decision.rule),
            np.float64(decision.threshold),
            self.query,
            bound,
            self._full,
            self.score,
            self.names,
            self.place,
            self.raw,
            np.float64(background),
            self.precision,
            self.least,
            self.most,
        )
        return BlendScore(*weighted_sums(self.weights, self.precision, self.least, self.most), decision)

    def over_thresholds(self, rule: str, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MAP@5 and the share of lists with somebody new first, at other thresholds.

        Of the lists that sit at the moment: `run` or `judge` a recipe first.
        """
        curve = self._sweep.curve(rule, self.score, self.names, self.place, self.weights, thresholds)
        # nobody stands before somebody new where there is no name
        best = np.where(self.names > 0, self.score[:, 0].astype(np.float64), -np.inf)
        order = np.argsort(best)
        total = np.append(0.0, np.cumsum(self.weights[order]))
        return curve, np.asarray(total[np.searchsorted(best[order], thresholds, side="left")])

    def best_decision(self) -> Decision:
        """The best rule and threshold for the lists that sit at the moment."""
        found = [self._sweep.solve(rule, self.score, self.names, self.place, self.weights) for rule in RULES]
        return max(found, key=lambda solved: solved[1])[0]
