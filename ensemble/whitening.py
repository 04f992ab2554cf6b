"""Whitened spaces, and the choice of whether a source is better for it, made on out-of-fold photos."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from cv.folds import gallery_photos
from cv.metrics import average_precisions
from ensemble.cache import cached
from ensemble.project import Project
from ensemble.sources import Source, fold_rows
from postproc import Gallery, Space, build_evidence, rank, top_k
from postproc.knn import Views
from postproc.whitening import KINDS, MIN_PAIRS, Whitening, fit_whitening

# known photos that the choice is made on; more would cost time and change little
ENOUGH = 2000
# whitening is chosen only if its gain is clear: this many standard errors of the paired difference
CLEAR = 2.0
DROPPED = 3.0
_NEAREST = 64


def fit(space: Space, kind: str, labels: np.ndarray, rows: np.ndarray) -> list[Whitening]:
    """Fit one whitening a part of the space, on the gallery photos `rows`."""
    return [fit_whitening(gallery, labels, rows, kind) for gallery in space.gallery]


def whitened(space: Space, fitted: list[Whitening], folder: Path, name: str) -> Space:
    """Map a space, each part by its own whitening.

    Parameters
    ----------
    space : Space
    fitted : list of Whitening
        One a part.
    folder : Path
        Where the mapped arrays are written: they are as large as the embeddings, so they are not held in memory.
    name : str
        Start of their file names.
    """
    parts_q, parts_g = [], []
    for p, (query, gallery) in enumerate(zip(space.query, space.gallery, strict=True)):
        views_g = _mapped(gallery, fitted[p], folder / f"{name}-{p}-gallery")
        same = all(a is b for a, b in zip(query, gallery, strict=True))
        parts_g.append(views_g)
        parts_q.append(views_g if same else _mapped(query, fitted[p], folder / f"{name}-{p}-query"))
    return Space(tuple(parts_q), tuple(parts_g))


def _mapped(views: Views, fitted: Whitening, path: Path) -> Views:
    out = []
    for v, view in enumerate(views):
        array = np.lib.format.open_memmap(
            f"{path}-{v}.npy", mode="w+", dtype=np.float32, shape=(len(view), fitted.width)
        )
        out.append(fitted.apply(view, array))
    return tuple(out)


def choose_whitening(
    project: Project,
    sources: Mapping[str, Source],
    progress: Callable[[str, int, int], None] | None = None,
    without: int | None = None,
) -> dict[str, str]:
    """Choose each source's whitening by its own out-of-fold MAP@5 on known photos.

    Parameters
    ----------
    project : Project
    sources : mapping of name to Source
    progress : callable, optional
    without : int, optional
        A fold whose photos have no say.

    Returns
    -------
    dict of source to {"none", "total", "within"}
        "none" unless another is better by more than `CLEAR` standard errors of the paired difference.
    """
    chosen = {}
    for name, source in sources.items():
        chosen[name] = _choice(_compare(project, name, source, without))
        if progress is not None:
            progress("whitening", 1, len(sources))
    return chosen


def _choice(precision: np.ndarray) -> str:
    """(kinds, n) average precisions, NaN where a kind was not tried to the end, to a kind."""
    best = "none"
    if not precision.shape[1]:
        return best
    for k, kind in enumerate(KINDS):
        gain = precision[k] - precision[0]
        clear = not np.isnan(gain).any() and gain.mean() > CLEAR * gain.std() / np.sqrt(len(gain))
        if clear and precision[k].mean() > precision[KINDS.index(best)].mean():
            best = kind
    return best


def _compare(project: Project, name: str, source: Source, without: int | None) -> np.ndarray:
    """(kinds, n) average precision of known photos from the first folds that hold enough of them.

    A kind that falls clearly behind is not carried on; NaN stands for what was not tried.
    """
    labels, folds = project.catalogue.labels, project.catalogue.folds
    project.cache.mkdir(exist_ok=True)
    table = np.empty((len(KINDS), 0))
    left = set(KINDS) if _can_fit(labels, folds) else {"none"}
    for fold in fold_rows(project):
        if fold == without:
            continue
        made_from = [project.photos_hash, ENOUGH, source.out_of_fold_contents(), source.views, sorted(left)]

        def column(fold: int = fold, left: frozenset[str] = frozenset(left)) -> dict[str, np.ndarray]:
            return {"precision": _column(project, name, source, fold, left)}

        found = cached(project.cache, f"whitening-{name}-fold{fold}", made_from, column)["precision"]
        table = np.concatenate([table, found], axis=1)
        if table.shape[1]:
            gain = table - table[0]
            behind = gain.mean(axis=1) < -DROPPED * gain.std(axis=1) / np.sqrt(table.shape[1])
            left -= {kind for kind, lost in zip(KINDS, behind, strict=True) if lost}
        if table.shape[1] >= ENOUGH or left == {"none"}:
            break
    return table


def _column(project: Project, name: str, source: Source, fold: int, left: frozenset[str]) -> np.ndarray:
    """(kinds, n) average precision of one fold's known photos."""
    labels, folds = project.catalogue.labels, project.catalogue.folds
    own = fold_rows(project)[fold]
    queries = own[gallery_photos(labels, folds)[own] > 0][:ENOUGH]
    column = np.full((len(KINDS), len(queries)), np.nan)
    space = source.out_of_fold(fold)
    column[0] = _solo(name, source, space, labels, folds, queries, fold)
    if left != {"none"}:
        both = fit(space, "within", labels, np.flatnonzero(folds != fold))
        for k, fitted in ((1, [w.without_within() for w in both]), (2, both)):
            if KINDS[k] in left:
                with tempfile.TemporaryDirectory(dir=project.cache) as folder:
                    mapped = whitened(space, fitted, Path(folder), name)
                    column[k] = _solo(name, source, mapped, labels, folds, queries, fold)
    return column


def _can_fit(labels: np.ndarray, folds: np.ndarray) -> bool:
    """Whether the gallery of every fold has enough photos of individuals with several."""
    for fold in np.unique(folds):
        counts = np.bincount(labels[folds != fold])
        if counts[counts > 1].sum() < MIN_PAIRS:
            return False
    return True


def _solo(
    name: str, source: Source, space: Space, labels: np.ndarray, folds: np.ndarray, queries: np.ndarray, fold: int
) -> np.ndarray:
    """(n,) average precision of the source alone."""
    near = [
        top_k(space, _NEAREST, view=v, query_rows=queries, query_group=folds, gallery_group=folds)
        for v in range(space.n_views)
    ]
    evidence = build_evidence({name: space}, {name: source.views}, {name: near}, Gallery(labels, folds), queries, fold)
    return average_precisions(rank(evidence, np.ones(1)).individual, labels[queries])
