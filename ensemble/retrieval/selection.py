"""Which whitening a model gets: one that is clearly better for it, on out-of-fold photos.

Known photos alone judge, by the model alone, against the other folds: these a whitening has seen, but not the photo's
own fold. The first folds that hold enough of them are looked at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cv.folds import gallery_photos
from cv.metrics import average_precisions
from cv.paired import THREE_ERRORS, TWO_ERRORS, PairedTest, clearly_better
from ensemble.project.cache import cached, is_kept
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.models import Model
from ensemble.retrieval.whitening import FirstSteps, KeptWhitening, fit_first, is_small, whitened_in_steps
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
    project: Project,
    models: Mapping[str, Model],
    progress: Progress | None = None,
    without: int | None = None,
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
    project.cache.mkdir(exist_ok=True)
    chosen = dict[str, str]()
    choice = Choice(project, set(KINDS) if _can_fit(project.catalogue.labels, project.catalogue.folds) else {"none"})
    first = _first_folds(project, without)
    jobs = [(name, fold) for fold in first for name in models]
    fits = {job: partial(_fit_first, project, models[job[0]], job[1]) for job in jobs}
    # every model's first fold is asked for, its others perhaps
    begin = [job for job in jobs if not is_kept(project.cache, *choice.entry(models[job[0]], job[1], choice.kinds))]
    with FirstSteps(fits, begin if len(choice.kinds) > 1 else []) as steps:
        for name, model in models.items():
            with tempfile.TemporaryDirectory(dir=project.cache) as folder:
                table, spaces = _compare(choice, model, first, steps, Path(folder))
                chosen[name] = KINDS[clear_best(table)]
                for fold, by_kind in spaces.items():
                    if chosen[name] in by_kind:
                        _keep(project, model, fold, chosen[name], by_kind[chosen[name]])
            for fold in first:
                steps.drop((name, fold))
            if progress is not None:
                progress("whitening", 1, len(models))
    return chosen


@dataclass(frozen=True)
class Choice:
    """What a choice is made on: the project's photos, and the kinds in question."""

    project: Project
    kinds: set[str]

    def entry(self, model: Model, fold: int, left: set[str]) -> tuple[str, list[Any]]:
        """What a fold's comparison is called in the cache, and what it is made from."""
        contents = model.out_of_fold_contents()
        made_from = [self.project.photos_hash, ENOUGH, contents, model.views, sorted(left)]
        return f"whitening-{model.name}-fold{fold}", made_from


def _fit_first(project: Project, model: Model, fold: int) -> list[Whitening]:
    return fit_first(model.out_of_fold(fold), np.flatnonzero(project.catalogue.folds != fold))


def _keep(project: Project, model: Model, fold: int, kind: str, space: Space) -> None:
    """Keep a chosen space of a fold, where it is asked for next."""
    rows, stores = np.flatnonzero(project.catalogue.folds != fold), [model.out_of_fold_store(fold)]
    KeptWhitening.of(project, stores, rows, kind, f"{model.name}-fold{fold}").keep(
        model.out_of_fold(fold), lambda: space
    )


def _compare(
    choice: Choice, model: Model, first: list[int], steps: FirstSteps, folder: Path
) -> tuple[np.ndarray, dict[int, dict[str, Space]]]:
    """(kinds, n) average precision of known photos of the first folds, and by fold the small spaces that it is of.

    A kind that falls clearly behind is not carried on; NaN stands for what was not tried.
    """
    table, spaces, left = np.empty((len(KINDS), 0)), dict[int, dict[str, Space]](), set(choice.kinds)
    for fold in first:

        def column(fold: int = fold, left: frozenset[str] = frozenset(left)) -> dict[str, np.ndarray]:
            precision, spaces[fold] = _column(choice, model, fold, left, steps, folder)
            return {"precision": precision}

        entry = cached(choice.project.cache, *choice.entry(model, fold, left), column)
        table = np.concatenate([table, entry["precision"]], axis=1)
        worse = [clearly_better(PairedTest.of_photos(table[0] - row), SURELY_WORSE) for row in table]
        left -= {kind for kind, is_worse in zip(KINDS, worse, strict=True) if is_worse}
        if left == {"none"}:
            break
    return table, spaces


def _column(
    choice: Choice, model: Model, fold: int, left: frozenset[str], steps: FirstSteps, folder: Path
) -> tuple[np.ndarray, dict[str, Space]]:
    """(kinds, n) average precision of one fold's known photos, and the spaces by kind if they are small."""
    name, labels, folds = model.name, choice.project.catalogue.labels, choice.project.catalogue.folds
    queries = _known_photos(choice.project, fold)
    column = np.full((len(KINDS), len(queries)), np.nan)
    space = model.out_of_fold(fold)
    column[0] = _solo(name, model, space, labels, folds, queries)
    if left == {"none"}:
        return column, {}
    with tempfile.TemporaryDirectory(dir=folder) as large:
        at, rows = folder if is_small(space) else Path(large), np.flatnonzero(folds != fold)
        by_kind = dict(whitened_in_steps(space, steps.of((name, fold)), labels, rows, at, f"fold{fold}"))
        for k, kind in enumerate(KINDS):
            if kind in left and kind in by_kind:
                column[k] = _solo(name, model, by_kind[kind], labels, folds, queries)
    return column, by_kind if is_small(space) else {}


def _can_fit(labels: np.ndarray, folds: np.ndarray) -> bool:
    """Whether the gallery of every fold has enough photos of individuals with several."""
    for fold in np.unique(folds):
        counts = np.bincount(labels[folds != fold])
        if counts[counts > 1].sum() < MIN_PAIRS:
            return False
    return True


def _solo(
    name: str, model: Model, space: Space, labels: np.ndarray, folds: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """(n,) average precision of the model alone."""
    near = [
        top_k(space, _NEAREST, view=v, query_rows=queries, query_group=folds, gallery_group=folds)
        for v in range(space.n_views)
    ]
    gallery = Gallery(labels, folds, query_groups=folds)
    evidence = build_evidence({name: space}, {name: model.views}, {name: near}, gallery, queries)
    return average_precisions(rank(evidence, np.ones(1)).individual, labels[queries])


def _first_folds(project: Project, without: int | None) -> list[int]:
    """The first folds that hold enough known photos."""
    first, known = list[int](), 0
    for fold in project.catalogue.fold_ids:
        if fold != without and known < ENOUGH:
            first.append(fold)
            known += len(_known_photos(project, fold))
    return first


def _known_photos(project: Project, fold: int) -> np.ndarray:
    """(n,) train rows of the first known photos of a fold."""
    rows = project.catalogue.rows_by_fold[fold]
    return np.asarray(rows[gallery_photos(project.catalogue.labels, project.catalogue.folds)[rows] > 0][:ENOUGH])
