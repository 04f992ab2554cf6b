"""Local naive Bayes nearest neighbour (LNBNN): which gallery photos a query's marks vote for.

Each query descriptor asks the gallery for its k + 1 nearest descriptors. The (k + 1)-th is its background: what it
finds anywhere. Each of the k nearest gives its photo `max(0, d_{k+1} - d_j)`, so that marks which are found everywhere
say nothing. (McCann and Lowe 2012, "Local naive Bayes nearest neighbor for image classification"; for animals
HotSpotter, Crall et al. 2013.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cv.errors import FinblendError
from postproc.evidence.pairs import PairTable
from postproc.lnbnn.votes_kernels import fill_votes
from postproc.neighbours.search import Space, top_k

# nearest descriptors that vote; measured on photos of lions, nyalas and seals, 2 to 5 are alike
VOTERS = 3
# photos that a query keeps votes of: the others have less
MOST_PHOTOS = 256


@dataclass(frozen=True, kw_only=True)
class PhotoDescriptors:
    """Local descriptors of photos, one photo after the other.

    Attributes
    ----------
    descriptors : (m, d) float32 array
        Rows of length 1.
    photo : (m,) int array
        The photo of each, ascending.
    group : (m,) int32 array
        Of the photo: a query never meets descriptors of its own group (its fold).
    """

    descriptors: np.ndarray
    photo: np.ndarray
    group: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.descriptors) == len(self.photo) == len(self.group):
            raise FinblendError(
                f"descriptors, photo and group must be of one length, but are of "
                f"{len(self.descriptors)}, {len(self.photo)} and {len(self.group)}"
            )


class DescriptorIndex(Protocol):
    """The gallery's descriptors, to be asked for the nearest ones."""

    photo: np.ndarray

    def nearest(self, queries: PhotoDescriptors, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(m, k) positions, -1 where there are fewer, and (m, k) float32 Euclidean distances, ascending."""


class ExactIndex:
    """Every descriptor is compared (`postproc.top_k`).

    Parameters
    ----------
    gallery : PhotoDescriptors
    """

    def __init__(self, gallery: PhotoDescriptors) -> None:
        self._gallery = gallery
        self.photo = gallery.photo

    def nearest(self, queries: PhotoDescriptors, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact nearest descriptors."""
        near = top_k(
            Space(((queries.descriptors,),), ((self._gallery.descriptors,),)),
            k,
            query_group=queries.group,
            gallery_group=self._gallery.group,
        )
        # of unit vectors: d^2 = 2 (1 - cosine)
        return near.index, np.sqrt(np.maximum(2.0 - 2.0 * near.similarity, 0.0), dtype=np.float32)


def votes(
    index: DescriptorIndex, queries: PhotoDescriptors, n_queries: int, n_gallery: int, voters: int = VOTERS
) -> PairTable:
    """Votes of query photos for gallery photos.

    Parameters
    ----------
    index : DescriptorIndex
    queries : PhotoDescriptors
        `photo` in [0, n_queries).
    n_queries, n_gallery : int
        Photos.
    voters : int >= 1
        How many nearest descriptors of each vote.

    Returns
    -------
    PairTable
        Of the `MOST_PHOTOS` photos with most votes; the others are left out.
    """
    if voters < 1:
        raise FinblendError(f"`voters >= 1` must hold, but got voters={voters}")
    start = np.searchsorted(queries.photo, np.arange(n_queries + 1)).astype(np.int64)
    shape = (n_queries, MOST_PHOTOS)
    photo, score = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    if len(queries.photo) and len(index.photo):
        position, distance = index.nearest(queries, voters + 1)
        fill_votes(start, position, distance, index.photo.astype(np.int64), n_gallery, photo, score)
    query, place = np.nonzero(photo >= 0)
    return PairTable.of(n_queries, query, photo[query, place], score[query, place])
