"""Rates of a matching's steps, measured on a small store of features."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from postproc.lnbnn.inverted_index import PROBES, InvertedIndex, cells_of, learnt_from
from postproc.lnbnn.votes import VOTERS, DescriptorIndex, ExactIndex, PhotoDescriptors, votes

T = TypeVar("T")

# descriptors up to which a sample is grown: below, an index of few cells would be measured
GROWN = 300_000
# the same where every descriptor is compared
_GALLERY = 100_000
# queries that a rate is measured on
_FEW, _ASKED = 64, 4_000
# how far a copy of a descriptor is away: as far as the nearest one of another photo, or exact search has ties to break
_JITTER = 0.6
# rounds in which faiss learns the cells' centres
_ROUNDS = 10


@dataclass(frozen=True)
class IndexWork:
    """What an inverted index of n descriptors compares.

    Attributes
    ----------
    building : float
        Descriptors with centres, while it learns them and puts every descriptor into its cell.
    asking : float
        A query descriptor with centres and with those in the cells it looks into.
    """

    building: float
    asking: float

    @classmethod
    def of(cls, n: int) -> IndexWork:
        """Of n descriptors, in cells of equal size."""
        cells = cells_of(n)
        return cls(float(cells) * (_ROUNDS * learnt_from(n) + n), cells + n * min(PROBES, cells) / cells)


@dataclass(frozen=True)
class IndexRates:
    """Descriptors compared a second, while an index is built and asked."""

    building: float
    asking: float


def exact_rate(descriptors: np.ndarray, needed: int, asked: int, rng: np.random.Generator) -> float:
    """Comparisons of descriptors a second where every one is compared, of `asked` queries at once.

    Each time the gallery is prepared anew: few queries show what that takes, more of them what a query adds.
    """
    with suppress(ImportError, OSError):
        # work as large as a catalogue's would load it and screen faster; the sample's is too small for that
        import torch  # noqa: F401
    gallery = grown(descriptors, min(needed, _GALLERY), rng)
    index = ExactIndex(_of_one_photo(gallery, 1))
    queries = grown(descriptors, _FEW + min(asked, _ASKED), rng)
    _seconds(index, queries[:_FEW])
    few, all_of_them = _seconds(index, queries[:_FEW]), _seconds(index, queries)
    a_query = max(all_of_them - few, 1e-9) / (len(queries) - _FEW)
    return asked * len(gallery) / (few + asked * a_query)


def index_rates(descriptors: np.ndarray, needed: int, rng: np.random.Generator) -> IndexRates:
    """Rates of an inverted index of up to `GROWN` descriptors."""
    gallery = grown(descriptors, min(needed, GROWN), rng)
    work = IndexWork.of(len(gallery))
    index, seconds = timed(lambda: InvertedIndex.of(_of_one_photo(gallery, 1)))
    queries = grown(descriptors, _ASKED // 2, rng)
    _seconds(index, queries[:_FEW])
    return IndexRates(work.building / seconds, work.asking * len(queries) / _seconds(index, queries))


def grown(descriptors: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, d) float32: descriptors, and as many jittered copies of them as are lacking."""
    copies = np.resize(np.arange(len(descriptors)), n)
    out = descriptors[copies]
    out[len(descriptors) :] += rng.normal(0.0, _JITTER / np.sqrt(out.shape[1]), out[len(descriptors) :].shape)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result, and its seconds."""
    since = time.perf_counter()
    result = work()
    return result, max(time.perf_counter() - since, 1e-9)


def _seconds(index: DescriptorIndex, queries: np.ndarray) -> float:
    return timed(lambda: votes(index, _of_one_photo(queries, 0), 1, 1, VOTERS))[1]


def _of_one_photo(descriptors: np.ndarray, group: int) -> PhotoDescriptors:
    return PhotoDescriptors(
        descriptors=descriptors,
        photo=np.zeros(len(descriptors), dtype=np.int64),
        group=np.full(len(descriptors), group, dtype=np.int32),
    )
