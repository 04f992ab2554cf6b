"""Exact cosine nearest neighbours in bounded memory.

A similarity *is* the float64 dot product in a fixed order, divided by the float64 norms and rounded to float32, so the
answer depends on neither block size nor thread count nor what multiplies. Products of rounded vectors only screen
(`postproc.neighbours.screen`): whatever may be among the k best is computed exactly, so nothing that belongs in is
lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from cv.errors import FinblendError
from postproc.neighbours.engine import Asked, answer
from postproc.neighbours.exact import exact_pairs, lengths
from postproc.neighbours.screen import unit_products
from postproc.neighbours.screen_base import Wanted
from postproc.neighbours.space import NOBODY, Neighbours, Space, Views, norms

__all__ = ["MEMORY_MB", "NOBODY", "Neighbours", "Progress", "Space", "Views"]
__all__ += ["norms", "pair_similarities", "similarities", "top_k"]

Progress: TypeAlias = Callable[[int], None]

MEMORY_MB = 512


def top_k(
    space: Space,
    k: int,
    *,
    view: int = 0,
    query_rows: np.ndarray | None = None,
    query_group: np.ndarray | None = None,
    gallery_group: np.ndarray | None = None,
    query_class: np.ndarray | None = None,
    gallery_class: np.ndarray | None = None,
    memory_mb: int = MEMORY_MB,
    backend: str = "auto",
    progress: Progress | None = None,
) -> Neighbours:
    """Find the k most similar gallery photos of each query, exactly.

    Parameters
    ----------
    space : Space
    k : int
        At least 1; may exceed the gallery.
    view : int
        Which query view.
    query_rows : (n,) int array, optional
        Which queries; all by default.
    query_group, gallery_group : int arrays, optional
        A gallery photo of the query's own group is passed over: with folds as groups, a photo meets only the other
        folds. `query_group` is indexed like `space.query`.
    query_class, gallery_class : int arrays, optional
        Only gallery photos of the query's own class are looked at: with species as classes, a photo meets only its
        species, for a fraction of the work. Indexed like the groups.
    memory_mb : int
        Bound on the working memory beside the embeddings and the answer, in MiB. However small, one query and 16
        gallery photos are worked on at a time.
    backend : {"auto", "int8", "bfloat16", "float32"}
        What screens: torch in whole numbers of 8 bits or in bfloat16, or numpy in float32. "auto" measures which is
        fastest where torch is installed, the hardware is fast at it and the work is worth it; with FINBLEND_DEVICE=cuda
        in the environment, a GPU does it in bfloat16. The answer is the same.
    progress : callable, optional
        Called with the number of queries done since the last call.

    Returns
    -------
    Neighbours

    Examples
    --------
    >>> a = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> top_k(Space(((a[:1],),), ((a,),)), 2).index
    array([[0, 2]], dtype=int32)
    """
    if k < 1:
        raise FinblendError(f"k >= 1 must hold, but got k={k}")
    asked = Asked.of(
        [(space, view)],
        np.arange(space.n_query) if query_rows is None else np.asarray(query_rows),
        group=(query_group, gallery_group),
        classes=(query_class, gallery_class),
        memory_mb=memory_mb,
        backend=backend,
    )
    with_classes = asked.classes is not None
    wanted = Wanted(np.ones(1), 0 if with_classes else k, k if with_classes else 0, is_alone=True)
    (found,) = answer(asked, [wanted], progress or (lambda _: None))
    return found.same_class if with_classes else found.nearest


def pair_similarities(
    space: Space, view: int, query_rows: np.ndarray, pair_query: np.ndarray, pair_gallery: np.ndarray
) -> np.ndarray:
    """Compute exact similarities of given pairs.

    Parameters
    ----------
    space : Space
    view : int
        Which query view.
    query_rows : (n,) int array
        Rows of `space.query` that `pair_query` counts in.
    pair_query, pair_gallery : (p,) int arrays
        Positions in `query_rows`, and gallery rows.

    Returns
    -------
    (p,) float32 array
    """
    rows = np.asarray(query_rows)
    used = np.zeros(space.n_gallery, dtype=np.bool_)
    used[pair_gallery] = True
    return exact_pairs(space, view, rows, *lengths(space, view, rows, np.flatnonzero(used)), pair_query, pair_gallery)


def similarities(
    space: Space, view: int, query_rows: np.ndarray, gallery_rows: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Compute similarities of some queries with the gallery, nearly: quick, and right to within a known slack.

    Parameters
    ----------
    space : Space
    view : int
        Which query view.
    query_rows : (n,) int array
        Rows of `space.query`.
    gallery_rows : (m,) int array, optional
        Rows of `space.gallery`; all by default.

    Returns
    -------
    values : (n, m) float32 array
        Beside it, copies of the n queries and of 1024 gallery photos are held at a time.
    slack : float
        No value is further than this from the exact similarity.
    """
    rows = np.asarray(query_rows)
    photos = np.arange(space.n_gallery) if gallery_rows is None else np.asarray(gallery_rows)
    query_norm, gallery_norm = lengths(space, view, rows, photos)
    return unit_products(space, view, rows, photos, query_norm, gallery_norm)
