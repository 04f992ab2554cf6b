"""Many lists in one pass: nearest photos by every source and by all of them at once, over all and in the own class.

Every source's products with a tile of photos are taken once. A list by several sources takes their weighted sum. Where
the queries are the gallery, the product of two photos serves the lists of both. The lists are those of `top_k`, to the
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.approximate import EXACT, approximate_answer, check_neighbours
from postproc.neighbours.engine import Asked, answer
from postproc.neighbours.screen_base import Wanted
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
    fused_by_source, fused_same_class_by_source : (sources, n, k_fused) float32 arrays, optional
        Similarities of those in every source; NaN where they were not needed, None where there are no classes.
    """

    nearest: tuple[Neighbours | None, ...]
    same_class: tuple[Neighbours | None, ...]
    fused: Neighbours | None = None
    fused_same_class: Neighbours | None = None
    fused_by_source: np.ndarray | None = None
    fused_same_class_by_source: np.ndarray | None = None


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
    neighbours: str = EXACT,
    progress: Callable[[int], None] | None = None,
) -> NeighbourLists:
    """Find each query's nearest photos by every source and by all of them together, exactly if not told otherwise.

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
    neighbours : {"exact", "approximate"}
        Whether an index chooses what is compared (`postproc.neighbours.approximate`), which must be asked for.

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
    new = [s for s in range(len(spaces)) if not (known and known[s])]
    # a column whose lists are known is multiplied only for the list by all of them
    columns = list(range(len(spaces))) if k_fused else new
    if not columns:
        return NeighbourLists(nearest=(None,) * len(spaces), same_class=(None,) * len(spaces))
    asked = Asked.of(
        [spaces[s] for s in columns],
        rows,
        group=(query_group, gallery_group),
        classes=(query_class, gallery_class),
        memory_mb=memory_mb,
        backend=backend,
    )
    k_class = (k if asked.classes else 0), (k_fused if asked.classes else 0)
    wanted = [Wanted(np.eye(len(columns))[columns.index(s)], k, k_class[0]) for s in new]
    parts = np.array([len(space.gallery) for space, _ in spaces], dtype=np.float64)
    if k_fused:
        wanted.append(Wanted(parts / parts.sum(), k_fused, k_class[1]))
    check_neighbours(neighbours)
    search = answer if neighbours == EXACT else approximate_answer
    found = search(asked, wanted, progress or (lambda _: None))
    lists = [found[new.index(s)] if s in new else None for s in range(len(spaces))]
    fused = found[-1] if k_fused else None
    return NeighbourLists(
        nearest=tuple(None if each is None else each.nearest for each in lists),
        same_class=tuple(None if each is None else each.own_class(asked.classes is None) for each in lists),
        fused=None if fused is None else fused.nearest,
        fused_same_class=None if fused is None else fused.own_class(asked.classes is None),
        fused_by_source=None if fused is None else fused.by_column,
        fused_same_class_by_source=None if fused is None or asked.classes is None else fused.same_class_by_column,
    )
