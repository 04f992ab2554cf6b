"""Traits: what is known about a query and a candidate beside the models' similarities, by one door.

A trait is a small object with a name, a word for what it needs, and an array (n, candidates) in which NaN says
*unknown*: a pair that nobody compared is not a pair that differs. Its say in the second stage is fitted per species,
shrunk to a common one. `postproc.testing.TraitContract` checks every rule on a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.search import NOBODY
from postproc.second_stage.candidates import Candidates
from postproc.second_stage.candidates_kernels import BEST, SECOND, SUM

# best candidates but one whose mean is a query's background, as of similarities
_BACKGROUND = 5
# what a pair source's column is asked of a candidate, see `PairTrait`
PAIR_KINDS = ("best", "lead", "behind", "second", "sum")


@dataclass(frozen=True)
class CandidateRows:
    """Candidates that traits are asked about.

    Attributes
    ----------
    candidates : Candidates
    query : (n,) int array
        Row of each query in its query set.
    fold : (n,) int array
        The fold whose photos have no say, or `cohort.NO_FOLD`.
    """

    candidates: Candidates
    query: np.ndarray
    fold: np.ndarray

    def take(self, rows: np.ndarray) -> CandidateRows:
        """Those of some queries."""
        return CandidateRows(self.candidates.take(rows), self.query[rows], self.fold[rows])


class Trait(Protocol):
    """Something known about a query and a candidate.

    Attributes
    ----------
    name : str
        Unique among a stage's traits.
    needs : str
        What it is made from: "evidence", "pair source", "column" or "review".
    """

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def needs(self) -> str:
        """What it is made from."""

    def of(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) float array; NaN where it is not known, and where there is no candidate."""


@dataclass(frozen=True)
class PairColumn:
    """One column of a pair source, brought to a common scale: asinh(score / scale), a logarithm that passes through 0.

    Attributes
    ----------
    name : str
    column : int
        Of `Candidates.pairs`.
    scale : float > 0
        What counts as a usual score: the median of those above 0.
    """

    name: str
    column: int
    scale: float

    def __post_init__(self) -> None:
        if not (self.scale > 0 and np.isfinite(self.scale)):
            raise FinblendError(f"scale > 0 must hold for {self.name}, but got scale={self.scale}")

    def best(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) level of each candidate's best photo."""
        return self._level(rows, BEST)

    def second(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) level of its second best photo."""
        return self._level(rows, SECOND)

    def total(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) level of the sum over its photos."""
        return self._level(rows, SUM)

    def _level(self, rows: CandidateRows, which: int) -> np.ndarray:
        score = rows.candidates.pairs[:, :, self.column, which].astype(np.float64)
        score[rows.candidates.individual == NOBODY] = np.nan
        return np.asarray(np.arcsinh(score / self.scale))


def usual_score(score: np.ndarray) -> float:
    """Median of the scores above 0; 1 where there are none.

    Examples
    --------
    >>> usual_score(np.array([0.0, 2.0, np.nan, 4.0, 9.0]))
    4.0
    """
    above = score[score > 0]
    return float(np.median(above)) if len(above) else 1.0


@dataclass(frozen=True)
class PairTrait:
    """One thing that a column of a pair source tells of a candidate.

    Attributes
    ----------
    kind : {"best", "lead", "behind", "second", "sum"}
        The best photo's level above the query's background; above the best of the other candidates; behind the query's
        best; the second best photo's level behind the best's; what the individual's other photos add to the best.
    column : PairColumn
    """

    kind: str
    column: PairColumn
    needs: str = "pair source"

    def __post_init__(self) -> None:
        if self.kind not in PAIR_KINDS:
            raise FinblendError(f"kind must be one of {', '.join(PAIR_KINDS)}, but got {self.kind!r}")

    @property
    def name(self) -> str:
        """The kind and the source."""
        return f"{self.kind}:{self.column.name}"

    def of(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) differences of levels."""
        best = self.column.best(rows)
        if self.kind == "second":
            difference = self.column.second(rows) - best
        elif self.kind == "sum":
            difference = self.column.total(rows) - best
        elif self.kind == "best":
            difference = best - background_of(best)[:, None]
        else:
            level = np.where(np.isnan(best), -np.inf, best)
            others = best_of_others(level) if self.kind == "lead" else level.max(axis=1, keepdims=True)
            difference = best - np.where(np.isfinite(others), others, np.nan)
        return np.asarray(difference)


@dataclass(frozen=True)
class PairCohort:
    """The candidate's background in the gallery: what its photos score with strangers (`postproc.second_stage.cohort`).

    Attributes
    ----------
    column : PairColumn
    background : callable
        (n, places) background of the candidates in the gallery.
    """

    column: PairColumn
    background: Callable[[CandidateRows], np.ndarray]
    needs: str = "pair source"

    @property
    def name(self) -> str:
        """`cohort:` and the source."""
        return f"cohort:{self.column.name}"

    def of(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) levels."""
        return np.asarray(np.where(np.isnan(self.column.best(rows)), np.nan, self.background(rows)))


def best_of_others(level: np.ndarray) -> np.ndarray:
    """(n, places) highest level among a query's other candidates; -inf where there is no other.

    Examples
    --------
    >>> best_of_others(np.array([[0.5, 2.0, 1.5]]))
    array([[2. , 1.5, 2. ]])
    """
    first = np.arange(level.shape[1]) == level.argmax(axis=1)[:, None]
    second = np.where(first, -np.inf, level).max(axis=1, keepdims=True)
    return np.asarray(np.where(first, second, level.max(axis=1, keepdims=True)))


def background_of(level: np.ndarray) -> np.ndarray:
    """(n,) mean level of the places 2 to 6 among a query's candidates; 0, which says nothing, where there are none.

    Examples
    --------
    >>> background_of(np.array([[0.5, np.nan, 2.0, 1.5], [3.0, np.nan, np.nan, np.nan]]))
    array([1., 0.])
    """
    falling = -np.sort(np.where(np.isnan(level), np.inf, -level), axis=1)
    known = np.isfinite(falling)
    others = falling[:, 1 : 1 + _BACKGROUND]
    count = known[:, 1 : 1 + _BACKGROUND].sum(axis=1)
    return np.asarray(np.where(np.isfinite(others), others, 0.0).sum(axis=1) / np.maximum(count, 1))


def pair_traits(column: PairColumn, background: Callable[[CandidateRows], np.ndarray]) -> Sequence[Trait]:
    """All that is asked of one column of a pair source."""
    return (*(PairTrait(kind, column) for kind in PAIR_KINDS), PairCohort(column, background))
