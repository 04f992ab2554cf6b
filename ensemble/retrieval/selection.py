"""Which whitening a model gets: one that is clearly better for it, on out-of-fold photos.

Known photos alone judge, by the model alone. The first folds that hold enough of them are looked at.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cv.folds import gallery_photos
from cv.metrics import average_precisions
from cv.paired import THREE_ERRORS, TWO_ERRORS, PairedTest, clearly_better
from ensemble.project.cache import FEW, cached
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.left_out import groups_of
from ensemble.registry.models import Model
from ensemble.retrieval.whitening import fit, whitened
from postproc import Gallery, Space, build_evidence, rank, top_k
from postproc.transforms.whitening import KINDS, MIN_PAIRS

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
    leave_out: str,
    progress: Progress | None = None,
    without: int | None = None,
) -> dict[str, str]:
    """Choose each model's whitening by its own out-of-fold MAP@5 on known photos.

    Parameters
    ----------
    project : Project
    models : mapping of name to Model
    leave_out : {"encounter", "fold"}
        What of the catalogue a photo does not meet, see `cv.left_out`.
    progress : callable, optional
    without : int, optional
        A fold whose photos have no say.

    Returns
    -------
    dict of model to {"none", "total", "within"}
        "none" unless another is clearly better.
    """
    chosen, groups = {}, groups_of(project, leave_out)
    for name, model in models.items():
        chosen[name] = KINDS[clear_best(_compare(project, name, model, groups, without))]
        if progress is not None:
            progress("whitening", 1, len(models))
    return chosen


def _compare(project: Project, name: str, model: Model, groups: np.ndarray, without: int | None) -> np.ndarray:
    """(kinds, n) average precision of known photos from the first folds that hold enough of them.

    A kind that falls clearly behind is not carried on; NaN stands for what was not tried.
    """
    labels, folds = project.catalogue.labels, project.catalogue.folds
    project.cache.mkdir(exist_ok=True)
    table = np.empty((len(KINDS), 0))
    left = set(KINDS) if _can_fit(labels, folds) else {"none"}
    for fold in _folds(project, without):
        made_from = [project.photos_hash, ENOUGH, model.out_of_fold_contents(), model.views, sorted(left)]
        if not np.array_equal(groups, folds):
            made_from.append(hashlib.sha256(groups.tobytes()).hexdigest())

        def column(fold: int = fold, left: frozenset[str] = frozenset(left)) -> dict[str, np.ndarray]:
            return {"precision": _column(project, name, model, groups, fold, left)}

        # both rules may be asked about in turn
        entry = cached(project.cache, f"whitening-{name}-fold{fold}", made_from, column, keep=FEW)
        table = np.concatenate([table, entry["precision"]], axis=1)
        worse = [clearly_better(PairedTest.of_photos(table[0] - row), SURELY_WORSE) for row in table]
        left -= {kind for kind, is_worse in zip(KINDS, worse, strict=True) if is_worse}
        if table.shape[1] >= ENOUGH or left == {"none"}:
            break
    return table


def _column(
    project: Project, name: str, model: Model, groups: np.ndarray, fold: int, left: frozenset[str]
) -> np.ndarray:
    """(kinds, n) average precision of one fold's known photos."""
    labels, folds = project.catalogue.labels, project.catalogue.folds
    queries = _known_photos(project, groups, fold)
    column = np.full((len(KINDS), len(queries)), np.nan)
    space = model.out_of_fold(fold)
    column[0] = _solo(name, model, space, labels, groups, queries)
    if left != {"none"}:
        both = fit(space, "within", labels, np.flatnonzero(folds != fold))
        for k, fitted in ((1, [w.without_within() for w in both]), (2, both)):
            if KINDS[k] in left:
                with tempfile.TemporaryDirectory(dir=project.cache) as folder:
                    mapped = whitened(space, fitted, Path(folder), name)
                    column[k] = _solo(name, model, mapped, labels, groups, queries)
    return column


def _can_fit(labels: np.ndarray, folds: np.ndarray) -> bool:
    """Whether the gallery of every fold has enough photos of individuals with several."""
    for fold in np.unique(folds):
        counts = np.bincount(labels[folds != fold])
        if counts[counts > 1].sum() < MIN_PAIRS:
            return False
    return True


def _solo(
    name: str, model: Model, space: Space, labels: np.ndarray, groups: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """(n,) average precision of the model alone."""
    near = [
        top_k(space, _NEAREST, view=v, query_rows=queries, query_group=groups, gallery_group=groups)
        for v in range(space.n_views)
    ]
    gallery = Gallery(labels, groups, query_groups=groups)
    evidence = build_evidence({name: space}, {name: model.views}, {name: near}, gallery, queries)
    return average_precisions(rank(evidence, np.ones(1)).individual, labels[queries])


def _folds(project: Project, without: int | None) -> Iterator[int]:
    return (fold for fold in project.catalogue.fold_ids if fold != without)


def _known_photos(project: Project, groups: np.ndarray, fold: int) -> np.ndarray:
    """(n,) train rows of the first known photos of a fold."""
    rows = project.catalogue.rows_by_fold[fold]
    return np.asarray(rows[gallery_photos(project.catalogue.labels, groups)[rows] > 0][:ENOUGH])
