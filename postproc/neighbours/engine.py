"""One search: arguments that fit together, the order it is done in, and what a screen could not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.choice import fastest
from postproc.neighbours.exact import Search, lengths, search_exactly
from postproc.neighbours.refine import ExactLists, exact_lists
from postproc.neighbours.screen import Column, Pass
from postproc.neighbours.screen_backends import choose
from postproc.neighbours.screen_base import Products, Wanted
from postproc.neighbours.screen_cpu import Float32
from postproc.neighbours.space import Space

Both = tuple[np.ndarray, np.ndarray]

# pairs a gallery photo up to which computing them all takes less time than rounding the gallery to screen it
_FEW = 16


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is searched, checked.

    Attributes
    ----------
    spaces : tuple of (Space, query view)
        With the same queries and the same gallery.
    rows : (n,) int array
        Rows of the spaces' queries.
    group, classes : pair of int arrays or None
        Of all queries and of all gallery photos.
    memory_mb : int
    backend : str
    """

    spaces: tuple[tuple[Space, int], ...]
    rows: np.ndarray
    group: Both | None
    classes: Both | None
    memory_mb: int
    backend: str

    @classmethod
    def of(
        cls,
        spaces: Sequence[tuple[Space, int]],
        rows: np.ndarray,
        *,
        group: tuple[np.ndarray | None, np.ndarray | None],
        classes: tuple[np.ndarray | None, np.ndarray | None],
        memory_mb: int,
        backend: str,
    ) -> Asked:
        """Check groups and classes: both or neither, one integer a photo."""
        space = spaces[0][0]
        return cls(
            spaces=tuple(spaces),
            rows=rows,
            group=_both("group", *group, space),
            classes=_both("class", *classes, space),
            memory_mb=memory_mb,
            backend=backend,
        )

    @property
    def memory(self) -> int:
        """Bytes beside the embeddings, the answer and the photos' norms."""
        norms = sum(len(space.gallery) * len(space.gallery[0]) for space, _ in self.spaces) * 8
        return max(0, self.memory_mb * 2**20 - norms * self.spaces[0][0].n_gallery)

    @property
    def pairs_in_class(self) -> int:
        """Pairs of a query and a photo of its own class; classes are needed."""
        assert self.classes is not None  # noqa: S101 - checked by the caller
        own, of_gallery = self.classes[0][self.rows], np.sort(self.classes[1])
        return int((np.searchsorted(of_gallery, own, "right") - np.searchsorted(of_gallery, own, "left")).sum())

    def fused(self, wanted: Wanted) -> tuple[Space, int]:
        """The space that a list is searched in, and its query view."""
        some = self.spaces[wanted.some]
        if len(some) == 1:
            return some[0]
        parts = tuple((part[view],) for space, view in some for part in space.query)
        return Space(parts, tuple(part for space, _ in some for part in space.gallery)), 0


def answer(asked: Asked, wanted: Sequence[Wanted], progress: Callable[[int], None]) -> list[ExactLists]:
    """Each list, of the queries in the order of their rows."""
    if len(wanted) == 1:
        asked, wanted = _alone(asked, wanted[0])
    found = [ExactLists.empty(len(asked.rows), want) for want in wanted]
    n_gallery = asked.spaces[0][0].n_gallery
    if _needs_no_screen(asked, wanted):
        for want, out in zip(wanted, found, strict=True):
            _compute(asked, want, np.arange(len(asked.rows)), out, twins=False)
        progress(len(asked.rows))
        return found
    size = float(len(asked.rows)) * n_gallery
    size *= sum(part[0].shape[1] * len(part) for space, _ in asked.spaces for part in space.gallery)
    products = _screen(asked, wanted, choose(asked.backend, size), found, np.arange(len(asked.rows)), progress)
    for want, out in zip(wanted, found, strict=True):
        for again in (Float32(),) if products.kind is not Float32.kind else ():
            if len(lost := np.flatnonzero(out.lost)):
                _screen(*_alone(asked, want), [again], [out], lost, lambda _: None)
        if len(lost := np.flatnonzero(out.lost)):
            _compute(asked, want, lost, out, twins=True)
    return found


def _alone(asked: Asked, want: Wanted) -> tuple[Asked, list[Wanted]]:
    """One list by itself: where it is by one column, the others are not multiplied."""
    if want.n_several:
        return asked, [want]
    return replace(asked, spaces=asked.spaces[want.some]), [replace(want, weights=want.weights[want.some])]


def _needs_no_screen(asked: Asked, wanted: Sequence[Wanted]) -> bool:
    """Whether most of the gallery is computed exactly, anyway, or so little that rounding the gallery takes longer."""
    n_gallery = asked.spaces[0][0].n_gallery
    if not any(want.k_class for want in wanted):
        return n_gallery <= 2 * min(want.k for want in wanted)
    return asked.backend == "auto" and not any(want.k for want in wanted) and asked.pairs_in_class <= _FEW * n_gallery


def _screen(
    asked: Asked,
    wanted: Sequence[Wanted],
    backends: Sequence[Products],
    found: Sequence[ExactLists],
    queries: np.ndarray,
    progress: Callable[[int], None],
) -> Products:
    """Answer some of the queries by the products that are fastest, but for those that are lost."""
    part = replace(asked, rows=asked.rows[queries])
    order, gallery, start, stop, is_symmetric = _order(part)
    rows = part.rows[order]
    columns = [Column(space, view, *lengths(space, view, rows, gallery)) for space, view in asked.spaces]
    query_group, gallery_group = np.zeros(len(rows), np.int32), np.ones(len(gallery), np.int32)
    if asked.group is not None:
        query_group, gallery_group = asked.group[0][rows], asked.group[1][gallery]
    products = fastest(backends, columns, wanted, rows, gallery, is_symmetric=is_symmetric)
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
        memory=asked.memory // 3 * 2,
        progress=progress,
    )
    with products.threads():
        for at, lists in search.blocks():
            own = [column.of(at) for column in columns]
            for want, candidates, out in zip(wanted, lists, found, strict=True):
                exact = exact_lists(own, want, candidates, rows[at], gallery, start[at], stop[at], asked.memory // 4)
                out.put(queries[order[at]], exact)
    return products


def _compute(asked: Asked, wanted: Wanted, queries: np.ndarray, found: ExactLists, *, twins: bool) -> None:
    """Compute all similarities of some queries."""
    (space, view), rows = asked.fused(wanted), asked.rows[queries]
    query_norm, gallery_norm = lengths(space, view, rows)
    everybody = np.arange(space.n_gallery, dtype=np.int32)
    query_group, gallery_group = np.zeros(len(rows), np.int32), np.ones(space.n_gallery, np.int32)
    if asked.group is not None:
        query_group, gallery_group = asked.group[0][rows], asked.group[1]
    searches = [(wanted.k, found.nearest, np.zeros(len(rows), np.int64), np.zeros(space.n_gallery, np.int64))]
    if asked.classes is not None:
        searches.append((wanted.k_class, found.same_class, asked.classes[0][rows], asked.classes[1]))
    for k, out, query_class, gallery_class in searches:
        if not k:
            continue
        near = ExactLists.empty(len(rows), Wanted(wanted.weights, k, 0)).nearest
        some = (query_group, gallery_group, k, asked.memory, near.index, near.similarity)
        search = Search(space, view, rows, query_norm, gallery_norm, *some)
        for one in np.unique(query_class):
            inside = np.flatnonzero(query_class == one)
            search_exactly(search, inside, everybody[gallery_class == one], twins=twins)
        out.index[queries], out.similarity[queries] = near.index, near.similarity
    found.lost[queries] = False


def _order(asked: Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
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


def _both(what: str, query: np.ndarray | None, gallery: np.ndarray | None, space: Space) -> Both | None:
    if query is None and gallery is None:
        return None
    if query is None or gallery is None:
        raise FinblendError(f"query_{what} and gallery_{what} go together: give both or neither")
    return _by_row(f"query_{what}", query, space.n_query), _by_row(f"gallery_{what}", gallery, space.n_gallery)


def _by_row(what: str, values: np.ndarray, n: int) -> np.ndarray:
    """Check that there is one integer a row."""
    array = np.asarray(values)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise FinblendError(f"{what} must be {n} integers, but got {array.dtype} of shape {array.shape}")
    return array
