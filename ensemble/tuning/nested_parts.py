"""Folds of a nested score that are done, kept until all are: a call that was killed goes on after them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.engine.kept import read_arrays, write_arrays
from ensemble.project.cache import ALGORITHM
from ensemble.project.version import finblend_version
from ensemble.protocol.setup import Setup
from ensemble.registry.pair_sources import pair_contents
from ensemble.tuning.nested_result import HeldOutResult
from ensemble.tuning.study import study_name

RECIPES = ("blend", "without_pairs", "plain", "single", "equal")
_TOLD = "told"


@dataclass(frozen=True)
class ScoredFold:
    """A fold scored by what was tuned without it.

    Attributes
    ----------
    precision : mapping of recipe to (k,) float64 array
        Of the fold's rows.
    width : float
        How much of MAP@5 the candidates leave open, times the fold's weight.
    result : HeldOutResult
    """

    precision: Mapping[str, np.ndarray]
    width: float
    result: HeldOutResult


@dataclass(frozen=True)
class NestedParts:
    """Where the folds of one nested score are kept; its name is a hash of all that decides the score."""

    folder: Path

    @classmethod
    def of(cls, setup: Setup, whitenings: Mapping[int, Mapping[str, str]], trials: int, seed: int) -> NestedParts:
        """Of a set-up, the whitening that is chosen without each fold, and the search."""
        pairs = [pair_contents(setup.retriever.pair_stores), setup.retriever.pairs]
        folds = [[fold, sorted(whitening.items())] for fold, whitening in whitenings.items()]
        made_from = [ALGORITHM, finblend_version(), study_name(setup), pairs, folds, trials, seed]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]
        return cls(setup.project.cache / "nested" / key)

    def write(self, scored: ScoredFold) -> None:
        """Keep a fold."""
        told = json.dumps([scored.width, dataclasses.asdict(scored.result)])
        write_arrays(self._path(scored.result.fold), {**scored.precision, _TOLD: np.array(told)})

    def read(self, fold: int) -> ScoredFold | None:
        """A fold that is done, or None."""
        arrays = read_arrays(self._path(fold), (*RECIPES, _TOLD))
        if arrays is None:
            return None
        width, result = json.loads(str(arrays.pop(_TOLD)))
        try:
            return ScoredFold(arrays, width, HeldOutResult(**result))
        except TypeError:  # of a finblend that told other things
            return None

    def drop(self) -> None:
        """All folds are done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, fold: int) -> Path:
        return self.folder / f"fold-{fold}.npz"
