"""Lists whose similarities are exact and whose membership is not: an inverted file chooses what is compared.

Explicit, for catalogues where all products would take hours. A query that the index finds too few photos for is asked
exactly, so that a list which is not full still holds all photos there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cv.errors import FinblendError
from cv.extras import load_extra
from postproc.neighbours.engine import Asked, answer
from postproc.neighbours.exact import lengths
from postproc.neighbours.inverted_file import PROBES, InvertedFile
from postproc.neighbours.refine import ExactLists, exact_lists
from postproc.neighbours.screen import Column
from postproc.neighbours.screen_base import Candidates, Wanted
from postproc.neighbours.space import NOBODY

EXACT, APPROXIMATE = "exact", "approximate"
NEIGHBOURS = (EXACT, APPROXIMATE)
# what results of the approximate search are kept under; raise when the index or what is asked of it changes
APPROXIMATE_ALGORITHM = "IVF 1"
# photos that the index gives beyond a list's: its order is nearly theirs, and photos of the own group are dropped
SPARE = 128
# queries that are asked at a time
_QUERIES = 2048


def check_neighbours(value: object) -> None:
    """Refuse what is none of `NEIGHBOURS`, and approximate ones where faiss is not installed."""
    if value not in NEIGHBOURS:
        raise FinblendError(f"neighbours must be one of {', '.join(NEIGHBOURS)}, but got neighbours={value!r}")
    if value == APPROXIMATE:
        load_extra("faiss", "marks")


def approximate_answer(
    asked: Asked, wanted: Sequence[Wanted], progress: Callable[[int], None], probes: int = PROBES
) -> list[ExactLists]:
    """Each list as `postproc.neighbours.engine.answer` gives it, but of the photos that the index finds.

    A list by several columns has an index of its own. A list within the own class is of the photos that are found
    anyway; where these are fewer than it wants, the class is searched exactly.

    Parameters
    ----------
    asked : Asked
        Beside its `memory_mb` an index for each list is held: see `InvertedFile`.
    wanted : sequence of Wanted
    progress : callable
    probes : int
        Cells of each index that a query looks into.
    """
    n, gallery, start, stop = len(asked.rows), *_by_class(asked)
    searched = [(asked.fused(want), max(want.k, want.k_class) + SPARE) for want in wanted]
    if len(gallery) <= 2 * max(k for _, k in searched):
        return answer(asked, wanted, progress)
    # query views share their gallery's index
    indexes: dict[int, InvertedFile] = {}
    for (space, _), _ in searched:
        if id(space) not in indexes:
            indexes[id(space)] = InvertedFile(space, probes)
    columns = [Column(space, view, *lengths(space, view, asked.rows)) for space, view in asked.spaces]
    place_of = np.empty(len(gallery) + 1, dtype=np.int32)
    place_of[gallery], place_of[-1] = np.arange(len(gallery)), len(gallery)
    found = [ExactLists.empty(n, want) for want in wanted]
    short = [np.zeros((2, n), dtype=np.bool_) for _ in wanted]
    for first in range(0, n, _QUERIES):
        at = slice(first, min(n, first + _QUERIES))
        rows, own = asked.rows[at], [column.of(at) for column in columns]
        for want, ((space, view), k), out, few in zip(wanted, searched, found, short, strict=True):
            photo = indexes[id(space)].search(view, rows, k)
            if asked.group is not None:
                photo[asked.group[1][photo] == asked.group[0][rows][:, None]] = NOBODY
            candidates = _candidates(place_of[photo], len(gallery))
            lists = exact_lists(own, want, candidates, rows, gallery, start[at], stop[at], asked.memory // 4)
            out.put(np.arange(n)[at], lists)
            of_class = (candidates.place >= start[at, None]) & (candidates.place < stop[at, None])
            # the last that were found are the last by the index's order, not by theirs
            enough = want.k_class and want.k_class + SPARE // 4
            few[:, at] = candidates.count < want.k, of_class.sum(axis=1) < enough
        progress(len(rows))
    for want, out, (few, few_of_class) in zip(wanted, found, short, strict=True):
        _ask_exactly(asked, replace(want, k_class=0), np.flatnonzero(few), out)
        _ask_exactly(asked, replace(want, k=0), np.flatnonzero(few_of_class), out)
    return found


def _by_class(asked: Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gallery rows by class, and where each query's own class begins and ends there."""
    gallery = np.arange(asked.spaces[0][0].n_gallery, dtype=np.int32)
    if asked.classes is None:
        nowhere = np.zeros(len(asked.rows), dtype=np.int64)
        return gallery, nowhere, nowhere
    gallery = gallery[np.argsort(asked.classes[1], kind="stable")]
    of_gallery, own = asked.classes[1][gallery], asked.classes[0][asked.rows]
    return gallery, np.searchsorted(of_gallery, own, "left"), np.searchsorted(of_gallery, own, "right")


def _candidates(place: np.ndarray, nowhere: int) -> Candidates:
    """What an index found, each photo once; all look alike good, so that all are computed."""
    place = np.sort(place, axis=1)
    # a photo's views are entries of their own
    place[:, 1:][place[:, 1:] == place[:, :-1]] = nowhere
    place.sort(axis=1)
    count = (place < nowhere).sum(axis=1)
    n, cut = len(place), np.empty(len(place), dtype=np.float32)
    high, low = np.zeros(place.shape, dtype=np.float32), np.zeros(place.shape, dtype=np.int32)
    return Candidates(high, low, place, cut, cut, count, window=np.zeros(n), constant=0.0)


def _ask_exactly(asked: Asked, want: Wanted, at: np.ndarray, out: ExactLists) -> None:
    """Ask some of the queries exactly, and take over the lists that are wanted."""
    if not len(at):
        return
    (exact,) = answer(replace(asked, rows=asked.rows[at]), [want], lambda _: None)
    if want.k:
        out.nearest.index[at], out.nearest.similarity[at] = exact.nearest.index, exact.nearest.similarity
        out.by_column[:, at] = exact.by_column
    else:
        out.same_class.index[at], out.same_class.similarity[at] = exact.same_class.index, exact.same_class.similarity
        out.same_class_by_column[:, at] = exact.same_class_by_column
