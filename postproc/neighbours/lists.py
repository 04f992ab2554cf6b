"""Many lists in one pass: each query's nearest photos by every source and by all of them at once, in all and in its class.

Every source's products with a tile of photos are taken once. A list by several sources takes their weighted sum. Where
the queries are the gallery, the product of two photos serves the lists of both. Like `top_k`, products of rounded
vectors only screen: whatever may belong to a list is computed exactly, so the lists are those of `top_k`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.exact import lengths
from postproc.neighbours.jobs import by_row
from postproc.neighbours.lists_exact import ExactLists, exact_lists
from postproc.neighbours.lists_pass import Column, Pass, Wanted
from postproc.neighbours.screen_backends import choose
from postproc.neighbours.search import top_k
from postproc.neighbours.space import Neighbours, Space

MEMORY_MB = 2048


@dataclass(frozen=True, kw_only=True)
class NeighbourLists:
    """What one search found.

    Attributes
    ----------
    nearest : tuple of Neighbours or None
        By source; None where its lists were known.
    same_class : tuple of Neighbours or None
        By source, within the query's class; the same as `nearest` where there are no classes.
    fused, fused_same_class : Neighbours or None
        By the mean of all sources' parts.
    fused_by_source, fused_same_class_by_source : (n, k_fused, sources) float32 arrays, optional
        Similarities of those in every source; NaN where they were not needed.
    """

    nearest: tuple[Neighbours | None, ...]
    same_class: tuple[Neighbours | None, ...]
    fused: Neighbours | None = None
    fused_same_class: Neighbours | None = None
    fused_by_source: np.ndarray | None = None
    fused_same_class_by_source: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A search's arguments, checked."""

    spaces: tuple[tuple[Space, int], ...]
    rows: np.ndarray
    group: tuple[np.ndarray, np.ndarray] | None
    classes: tuple[np.ndarray, np.ndarray] | None
    memory_mb: int


def search_lists(
    spaces: Sequence[tuple[Space, int]],
    k: int,
    k_fused: int = 0,
    *,
    known: Sequence[bool] | None = None,
    query_rows: np.ndarray | None = None,
    query_group: np.ndarray | None = None,
    gallery_group: np.ndarray | None = None,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
    memory_mb: int = MEMORY_MB,
    backend: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> NeighbourLists:
    """Find each query's nearest photos by every source and by all of them together, exactly.

    Parameters
    ----------
    spaces : sequence of (Space, query view)
        All with the same queries and the same gallery.
    k : int
        Of each source.
    k_fused : int
        By all sources together: by the mean over all their parts. 0 for none; only where galleries have one view.
    known : sequence of bool, optional
        Sources whose own lists are not wanted.
    query_rows, query_group, gallery_group, query_class, gallery_class, backend, progress
        As of `top_k`, but that classes add lists: those within the query's class beside those over the whole gallery.
    memory_mb : int
        Bound on the working memory beside the embeddings and the answer, in MiB.

    Returns
    -------
    NeighbourLists

    Examples
    --------
    >>> a = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> space = Space(((a,),), ((a,),))
    >>> search_lists([(space, 0)], 1, query_group=np.arange(3), gallery_group=np.arange(3)).nearest[0].index
    array([[2],
           [2],
           [0]], dtype=int32)
    """
    first = spaces[0][0]
    if min(k, 1) < 1 or k_fused < 0:
        raise FinblendError(f"k >= 1 and k_fused >= 0 must hold, but got k={k}, k_fused={k_fused}")
    if any((space.n_query, space.n_gallery) != (first.n_query, first.n_gallery) for space, _ in spaces):
        raise FinblendError("all spaces must have the same queries and the same gallery")
    if k_fused and any(len(space.gallery[0]) > 1 for space, _ in spaces):
        raise FinblendError("lists by several sources need galleries of one view")
    rows = np.arange(first.n_query) if query_rows is None else np.asarray(query_rows)
    asked = _Asked(
        spaces=tuple(spaces),
        rows=rows,
        group=_both("group", query_group, gallery_group, first),
        classes=_both("class", query_class, gallery_class, first),
        memory_mb=memory_mb,
    )
    k_class = (k if asked.classes else 0), (k_fused if asked.classes else 0)
    wanted = [Wanted(np.eye(len(spaces))[s], k, k_class[0]) for s in range(len(spaces)) if not (known and known[s])]
    parts = np.array([len(space.gallery) for space, _ in spaces], dtype=np.float64)
    if k_fused:
        wanted.append(Wanted(parts / parts.sum(), k_fused, k_class[1]))
    found = _answer(asked, wanted, backend, progress or (lambda _: None))
    own = iter(found)
    lists = [None if known and known[s] else next(own) for s in range(len(spaces))]
    fused = found[-1] if k_fused else None
    return NeighbourLists(
        nearest=tuple(None if each is None else each.nearest for each in lists),
        same_class=tuple(None if each is None else each.own_class(asked.classes is None) for each in lists),
        fused=fused and fused.nearest,
        fused_same_class=fused and fused.own_class(asked.classes is None),
        fused_by_source=fused and fused.by_column,
        fused_same_class_by_source=fused and (fused.by_column if asked.classes is None else fused.same_class_by_column),
    )


def _answer(
    asked: _Asked, wanted: list[Wanted], backend: str, progress: Callable[[int], None]
) -> list[ExactLists]:
    """Each list, in the order of the queries."""
    order, gallery, start, stop, is_symmetric = _order(asked)
    rows = asked.rows[order]
    columns = [Column(space, view, *lengths(space, view, rows, gallery)) for space, view in asked.spaces]
    query_group, gallery_group = np.zeros(len(rows), np.int32), np.ones(len(gallery), np.int32)
    if asked.group is not None:
        query_group, gallery_group = asked.group[0][rows], asked.group[1][gallery]
    size = float(len(rows)) * len(gallery) * sum(column.width * column.n_views for column in columns)
    products = choose(backend, size / (2 if is_symmetric else 1))
    held = [norm for c in columns for norm in (*c.query_norm, *(g for part in c.gallery_norm for g in part))]
    memory = max(0, asked.memory_mb * 2**20 - sum(array.nbytes for array in held))
    search = Pass(
        columns=columns,
        wanted=wanted,
        products=products,
        query_rows=rows,
        gallery_rows=gallery,
        query_group=query_group,
        gallery_group=gallery_group,
        class_start=start,
        class_stop=stop,
        is_symmetric=is_symmetric,
        memory=memory // 4 * 3,
        progress=progress,
    )
    found = [ExactLists.empty(len(rows), want, len(columns)) for want in wanted]
    with products.threads():
        for at, lists in search.blocks():
            own = [column.of(at) for column in columns]
            for want, candidates, out in zip(wanted, lists, found, strict=True):
                exact = exact_lists(own, want, candidates, rows[at], gallery, start[at], stop[at], memory // 4)
                out.put(order[at], exact)
    for want, out in zip(wanted, found, strict=True):
        _find_lost(asked, want, out)
    return found


def _order(asked: _Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
    """Order of the queries; gallery rows by class; where the own class begins and ends there; whether both are one."""
    space = asked.spaces[0][0]
    gallery = np.arange(space.n_gallery, dtype=np.int32)
    rows = asked.rows
    if asked.group is not None:
        groups = np.unique(asked.group[0][rows])
        if len(groups) == 1:
            # all queries pass over the same photos
            gallery = gallery[asked.group[1] != groups[0]]
    start, stop = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    order = np.arange(len(rows))
    if asked.classes is not None:
        gallery = gallery[np.argsort(asked.classes[1][gallery], kind="stable")]
        order = np.argsort(asked.classes[0][rows], kind="stable")
    is_symmetric = (
        len(gallery) == len(rows) == space.n_gallery
        and all(_is_one(space, view) for space, view in asked.spaces)
        and len(np.unique(rows)) == len(rows)
    )
    if is_symmetric:
        at = np.empty(len(rows), np.int64)
        at[rows] = np.arange(len(rows))
        order = at[gallery]
    if asked.classes is not None:
        own, of_gallery = asked.classes[0][rows[order]], asked.classes[1][gallery]
        start, stop = np.searchsorted(of_gallery, own, "left"), np.searchsorted(of_gallery, own, "right")
    return order, gallery, start.astype(np.int64), stop.astype(np.int64), is_symmetric


def _is_one(space: Space, view: int) -> bool:
    """Whether queries and gallery are the same arrays."""
    if len(space.gallery[0]) > 1 or space.n_query != space.n_gallery:
        return False
    return all(query[view] is gallery[0] for query, gallery in zip(space.query, space.gallery, strict=True))


def _find_lost(asked: _Asked, wanted: Wanted, found: ExactLists) -> None:
    """Search again, one list at a time, what rounded products could not tell apart."""
    lost = np.flatnonzero(found.lost)
    if not len(lost):
        return
    used = np.flatnonzero(wanted.weights)
    several = [asked.spaces[s] for s in used]
    # by several sources there is one view each
    view = several[0][1] if len(several) == 1 else 0
    space = Space(
        tuple(part if len(several) == 1 else (part[v],) for one, v in several for part in one.query),
        tuple(part for one, _ in several for part in one.gallery),
    )
    group, classes = asked.group or (None, None), asked.classes or (None, None)
    searches = [(wanted.k, found.nearest, (None, None)), (wanted.k_class, found.same_class, classes)]
    for k, out, (query_class, gallery_class) in searches:
        if k:
            near = top_k(
                space,
                k,
                view=view,
                query_rows=asked.rows[lost],
                query_group=group[0],
                gallery_group=group[1],
                query_class=query_class,
                gallery_class=gallery_class,
                memory_mb=asked.memory_mb,
                backend="float32",
            )
            out.index[lost], out.similarity[lost] = near.index, near.similarity


def _both(
    what: str, query: np.ndarray | None, gallery: np.ndarray | None, space: Space
) -> tuple[np.ndarray, np.ndarray] | None:
    if query is None and gallery is None:
        return None
    if query is None or gallery is None:
        raise FinblendError(f"query_{what} and gallery_{what} go together: give both or neither")
    return by_row(f"query_{what}", query, space.n_query), by_row(f"gallery_{what}", gallery, space.n_gallery)
