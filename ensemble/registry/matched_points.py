"""Which points of two photos show the same marks, as far as pair sources kept them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backbones.pair_store import Pairs, PairStore


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What a pair source matched on two photos.

    Attributes
    ----------
    points : (k, 4) float32 array
        x, y in the query and x, y in the gallery photo, in shares of width and height.
    count : int
        All that were matched; the points of the first are kept.
    source : str
        The pair source.
    """

    points: np.ndarray
    count: int
    source: str


@dataclass(frozen=True)
class MatchedPoints:
    """Looks pairs of photos up in pair sources, without reading these as a whole.

    Attributes
    ----------
    stores : mapping of str to PairStore
        Pair sources by name.
    """

    stores: Mapping[str, PairStore]

    def of(self, split: str, query: int, gallery: int) -> Matched | None:
        """The points of a pair, by the source that kept most of them; None where none kept any.

        Parameters
        ----------
        split : {"train", "test"}
            Of the query.
        query, gallery : int
            Rows of the split's and of the train photos.
        """
        best: Matched | None = None
        for name, store in self.stores.items():
            found = self._in_store(name, store, split, query, gallery)
            if found is not None and (best is None or len(found.points) > len(best.points)):
                best = found
        return best

    def _in_store(self, name: str, store: PairStore, split: str, query: int, gallery: int) -> Matched | None:
        pairs = self._pairs[name, split]
        # in the columns' own type: another one would make NumPy copy the whole column
        start, end = np.searchsorted(pairs.query, np.array([query, query + 1], dtype=pairs.query.dtype)).tolist()
        of_query = pairs.gallery[start:end]
        at = int(np.searchsorted(of_query, np.array(gallery, dtype=of_query.dtype)))
        if at == len(of_query) or of_query[at] != gallery:
            return None
        row = start + at
        points = store.points(split, row)
        if points is None or not len(points):
            return None
        # what `match` writes as second number is how many matches one map explains; others' may be anything
        verified = pairs.second is not None and store.manifest.made.get("how") == "match"
        count = pairs.second[row] if verified and pairs.second is not None else np.nan
        return Matched(points=points, count=int(max(len(points), np.nan_to_num(count))), source=name)

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], Pairs]:
        return {(name, split): store.pairs(split) for name, store in self.stores.items() for split in ("train", "test")}
