"""The choice of a source's operators, made on out-of-fold photos: none unless one is clearly better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cv.folds import gallery_photos
from cv.metrics import average_precisions
from ensemble.cache import cached
from ensemble.operators import FIELDS, NAMES, Operators
from ensemble.parts import Part, Progress
from ensemble.project import Project
from ensemble.reciprocals import reranked
from ensemble.searches import nearest
from ensemble.sources import Source, fold_rows
from postproc import build_evidence, rank
from postproc.expansion import Expansion
from postproc.reciprocal import Reciprocal
from postproc.rerank import rerank_evidence

# known photos that the choice is made on, as for whitening
ENOUGH = 2000
# an operator is chosen only if its gain is this many standard errors of the paired difference: six settings are tried,
# so it is more than whitening is asked for
CLEAR = 3.0
_EXPANSIONS = [Expansion(k, alpha) for k in (1, 2, 5) for alpha in (1.0, 3.0)]
_RECIPROCALS = [Reciprocal(k1, k2, weight) for k1, k2 in ((10, 3), (20, 6)) for weight in (0.3, 0.6, 0.8)]
GRID: dict[str, Sequence[Any]] = dict(zip(NAMES, (_EXPANSIONS, _EXPANSIONS, _RECIPROCALS), strict=True))


def choose_operators(
    project: Project,
    sources: Mapping[str, Source],
    whitening: Mapping[str, str],
    wanted: Sequence[str],
    progress: Progress | None = None,
    without: int | None = None,
) -> dict[str, Operators]:
    """Choose each source's operators by its own out-of-fold MAP@5 on known photos, one operator after the other.

    Parameters
    ----------
    project : Project
    sources : mapping of name to Source
    whitening : mapping of name to {"none", "total", "within"}
    wanted : sequence of str
        Which operators may be chosen; each is tried in the settings of `GRID`, on top of those chosen before it.
    progress : callable, optional
    without : int, optional
        A fold whose photos have no say.

    Returns
    -------
    dict of source to Operators
        Sources without any are left out.
    """
    chosen = {}
    for name, source in sources.items():
        how = Operators()
        for operator in NAMES:
            if operator in wanted:
                settings = [how, *(replace(how, **{FIELDS[operator]: one}) for one in GRID[operator])]
                table = compared(project, name, source, whitening.get(name, "none"), settings, operator, without)
                how = settings[clear_best(table)]
                if progress is not None:
                    progress("operators", 1, len(sources) * len(wanted))
        if how:
            chosen[name] = how
    return chosen


def clear_best(precision: np.ndarray) -> int:
    """The best row of (settings, n) average precisions among those clearly better than the first; 0 if none is."""
    if not precision.shape[1]:
        return 0
    gain = precision - precision[0]
    clear = gain.mean(axis=1) > CLEAR * gain.std(axis=1) / np.sqrt(precision.shape[1])
    clear[0] = True
    return int(np.where(clear, precision.mean(axis=1), -1.0).argmax())


def compared(
    project: Project,
    name: str,
    source: Source,
    kind: str,
    settings: Sequence[Operators],
    operator: str,
    without: int | None = None,
) -> np.ndarray:
    """(settings, n) average precision of known photos from the first folds that hold enough of them."""
    project.cache.mkdir(exist_ok=True)
    table = np.empty((len(settings), 0))
    contents = source.out_of_fold_contents()
    for fold in fold_rows(project):
        if fold == without:
            continue
        made_from = [project.photos_hash, ENOUGH, contents, source.views, kind, [how.as_dict() for how in settings]]

        def column(fold: int = fold) -> dict[str, np.ndarray]:
            return {"precision": np.stack([_precision(project, name, source, kind, how, fold) for how in settings])}

        found = cached(project.cache, f"choice-{operator}-{name}-fold{fold}", made_from, column)["precision"]
        table = np.concatenate([table, found], axis=1)
        if table.shape[1] >= ENOUGH:
            break
    return table


def _precision(project: Project, name: str, source: Source, kind: str, how: Operators, fold: int) -> np.ndarray:
    """(n,) average precision of one fold's known photos, by the source alone."""
    labels, folds = project.catalogue.labels, project.catalogue.folds
    own = fold_rows(project)[fold]
    queries = own[gallery_photos(labels, folds)[own] > 0][:ENOUGH]
    part = Part(
        project,
        f"choice{fold}",
        {name: source},
        {name: kind},
        {name: [source.out_of_fold_store(fold)]},
        {name: source.out_of_fold(fold)},
        {name: source.out_of_fold_contents()},
        queries,
        fold,
        None,
        lambda votes: votes,
        {name: how},
    )
    with part.spaces() as spaces:
        near = nearest(part, lambda: spaces, None)
        evidence = build_evidence(spaces, part.views, near, part.gallery, queries, fold)
        evidence = rerank_evidence(evidence, part.views, reranked(part, lambda: spaces, None), queries)
    return average_precisions(rank(evidence, np.ones(1)).individual, labels[queries])
