"""Which whitening a model gets: one that is clearly better for it, on out-of-fold photos.

Known photos alone judge, by the model alone. The first folds that hold enough of them are looked at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from cv.folds import gallery_photos
from cv.metrics import average_precisions
from cv.paired import THREE_ERRORS, TWO_ERRORS, PairedTest, clearly_better
from ensemble.project.cache import cached, is_kept
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.models import Model
from ensemble.retrieval.whitening import KeptWhitening, fit_first, is_small, whitened_both
from postproc import Gallery, Space, build_evidence, rank, top_k
from postproc.transforms.whitening import KINDS, MIN_PAIRS, Whitening

# known photos that a choice is made on; more would cost time and change little
ENOUGH = 2000
SURELY_BETTER = TWO_ERRORS
# a whitening that is this surely worse is not carried on to further folds
SURELY_WORSE = THREE_ERRORS
_NEAREST = 64


def clear_best(precision: np.ndarray) -> int:
    """The best row of (kinds, n) average precisions among those clearly better than the first; 0 if none is."""
    tests = [PairedTest.of_photos(row - precision[0]) for row in precision]
    clear = [n for n, test in enumerate(tests) if clearly_better(test, SURELY_BETTER)]
    return max([0, *clear], key=lambda n: precision[n].mean() if precision.shape[1] else -n)


def choose_whitening(
    project: Project, models: Mapping[str, Model], progress: Progress | None = None, without: int | None = None
) -> dict[str, str]:
    """Choose each model's whitening by its own out-of-fold MAP@5 on known photos.

    Parameters
    ----------
    project : Project
    models : mapping of name to Model
    progress : callable, optional
    without : int, optional
        A fold whose photos have no say.

    Returns
    -------
    dict of model to {"none", "total", "within"}
        "none" unless another is clearly better.
    """
    chosen = {}
    project.cache.mkdir(exist_ok=True)
    left = set(KINDS) if _can_fit(project.catalogue.labels, project.catalogue.folds) else {"none"}
    jobs = [(name, fold) for name, model in models.items() for fold in _first_folds(project, without)]
    todo = [job for job in jobs if not is_kept(project.cache, *_entry(project, *job, models[job[0]], left))]
    with _Fits(project, models, todo if len(left) > 1 else []) as fits:
        for name, model in models.items():
            chosen[name] = _chosen(project, name, model, without, set(left), fits)
            if progress is not None:
                progress("whitening", 1, len(models))
    return chosen


class _Fits:
    """The first steps of whitenings, as many at a time as there are threads: an eigendecomposition gains by one."""

    def __init__(self, project: Project, models: Mapping[str, Model], jobs: list[tuple[str, int]]) -> None:
        self._folds, self._models = project.catalogue.folds, models
        self._pool = ThreadPoolExecutor(numba.get_num_threads())
        self._limits = threadpool_limits(1, user_api="blas")
        self._begun = {job: self._pool.submit(self._fit, *job) for job in jobs}

    def _fit(self, name: str, fold: int) -> list[Whitening]:
        return fit_first(self._models[name].out_of_fold(fold), np.flatnonzero(self._folds != fold))

    def of(self, name: str, fold: int) -> list[Whitening]:
        """What is fitted on all folds but one."""
        begun = self._begun.pop((name, fold), None)
        return self._fit(name, fold) if begun is None else begun.result()

    def drop(self, name: str) -> None:
        """A model's choice is made: nothing more is fitted for it."""
        for job in [job for job in self._begun if job[0] == name]:
            self._begun.pop(job).cancel()

    def __enter__(self) -> _Fits:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()


def _entry(project: Project, name: str, fold: int, model: Model, left: set[str]) -> tuple[str, list[Any]]:
    """Name of a comparison in the cache, and what it is made from."""
    made_from = [project.photos_hash, ENOUGH, model.out_of_fold_contents(), model.views, sorted(left)]
    return f"whitening-{name}-fold{fold}", made_from


def _chosen(project: Project, name: str, model: Model, without: int | None, left: set[str], fits: _Fits) -> str:
    """One model's whitening; a small space that it is chosen in is kept."""
    with tempfile.TemporaryDirectory(dir=project.cache) as folder:
        spaces: dict[int, dict[str, Space]] = {}
        table = np.empty((len(KINDS), 0))
        for fold in _first_folds(project, without):

            def column(fold: int = fold, left: frozenset[str] = frozenset(left)) -> dict[str, np.ndarray]:
                precision, spaces[fold] = _column(project, name, model, fold, left, fits, Path(folder))
                return {"precision": precision}

            entry = cached(project.cache, *_entry(project, name, fold, model, left), column)
            table = np.concatenate([table, entry["precision"]], axis=1)
            worse = [clearly_better(PairedTest.of_photos(table[0] - row), SURELY_WORSE) for row in table]
            left -= {kind for kind, is_worse in zip(KINDS, worse, strict=True) if is_worse}
            if left == {"none"}:
                break
        fits.drop(name)
        chosen = KINDS[clear_best(table)]
        for fold, by_kind in spaces.items():
            if chosen in by_kind:
                rows, store = np.flatnonzero(project.catalogue.folds != fold), model.out_of_fold_store(fold)
                kept = KeptWhitening.of(project, [store], rows, chosen, f"{name}-fold{fold}")
                kept.keep(model.out_of_fold(fold), lambda space=by_kind[chosen]: space)
    return chosen


def _column(
    project: Project, name: str, model: Model, fold: int, left: frozenset[str], fits: _Fits, folder: Path
) -> tuple[np.ndarray, dict[str, Space]]:
    """(kinds, n) average precision of one fold's known photos, and the spaces that may be kept.

    A kind that falls clearly behind is not carried on; NaN stands for what was not tried.
    """
    labels, folds = project.catalogue.labels, project.catalogue.folds
    queries = _known_photos(project, fold)
    column = np.full((len(KINDS), len(queries)), np.nan)
    space = model.out_of_fold(fold)
    column[0] = _solo(name, model, space, labels, folds, queries, fold)
    if left == {"none"}:
        return column, {}
    with tempfile.TemporaryDirectory(dir=folder) as large:
        at = folder if is_small(space) else Path(large)
        by_kind = whitened_both(space, fits.of(name, fold), labels, np.flatnonzero(folds != fold), at, f"fold{fold}")
        for k, kind in enumerate(KINDS):
            if kind in left and kind in by_kind:
                column[k] = _solo(name, model, by_kind[kind], labels, folds, queries, fold)
        return column, by_kind if is_small(space) else {}


def _can_fit(labels: np.ndarray, folds: np.ndarray) -> bool:
    """Whether the gallery of every fold has enough photos of individuals with several."""
    for fold in np.unique(folds):
        counts = np.bincount(labels[folds != fold])
        if counts[counts > 1].sum() < MIN_PAIRS:
            return False
    return True


def _solo(
    name: str, model: Model, space: Space, labels: np.ndarray, folds: np.ndarray, queries: np.ndarray, fold: int
) -> np.ndarray:
    """(n,) average precision of the model alone."""
    near = [
        top_k(space, _NEAREST, view=v, query_rows=queries, query_group=folds, gallery_group=folds)
        for v in range(space.n_views)
    ]
    evidence = build_evidence({name: space}, {name: model.views}, {name: near}, Gallery(labels, folds), queries, fold)
    return average_precisions(rank(evidence, np.ones(1)).individual, labels[queries])


def _first_folds(project: Project, without: int | None) -> list[int]:
    """The first folds that hold enough known photos."""
    folds, known = list[int](), 0
    for fold in project.catalogue.fold_ids:
        if fold != without and known < ENOUGH:
            folds.append(fold)
            known += len(_known_photos(project, fold))
    return folds


def _known_photos(project: Project, fold: int) -> np.ndarray:
    """(n,) train rows of the first known photos of a fold."""
    catalogue = project.catalogue
    rows = project.catalogue.rows_by_fold[fold]
    return np.asarray(rows[gallery_photos(catalogue.labels, catalogue.folds)[rows] > 0][:ENOUGH])
