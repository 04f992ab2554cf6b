"""Optional operators of a source: database augmentation, query expansion, k-reciprocal re-ranking. None by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from postproc import NOBODY, Neighbours, Space, top_k
from postproc.neighbours.space import without_selves
from postproc.transforms.expansion import Allocate, Expansion, augment_gallery, expand_queries, gallery_neighbours
from postproc.transforms.reciprocal import Reciprocal

# in the order in which they are applied and chosen
NAMES = ("database-augmentation", "query-expansion", "reciprocal")
FIELDS = dict(zip(NAMES, ("augmentation", "expansion", "reciprocal"), strict=True))

# (what, what it depends on, how to compute it) to arrays, from a cache
Keep = Callable[[str, Any, Callable[[], Mapping[str, np.ndarray]]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Operators:
    """What a source's spaces and similarities go through after whitening.

    Attributes
    ----------
    augmentation : Expansion or None
        Gallery photos move towards their gallery neighbours.
    expansion : Expansion or None
        Then queries move towards their gallery neighbours.
    reciprocal : Reciprocal or None
        Then the similarities of a query's nearest photos are mixed with their k-reciprocal ones.
    """

    augmentation: Expansion | None = None
    expansion: Expansion | None = None
    reciprocal: Reciprocal | None = None

    def __bool__(self) -> bool:
        return any((self.augmentation, self.expansion, self.reciprocal))

    def of_spaces(self) -> dict[str, Any]:
        """The operators that change spaces, as `as_dict` has them."""
        return Operators(self.augmentation, self.expansion).as_dict()

    def as_dict(self) -> dict[str, Any]:
        """What a blend file holds.

        >>> Operators(expansion=Expansion(2, 3.0), reciprocal=Reciprocal(20, 6, 0.3)).as_dict()
        {'query-expansion': {'k': 2, 'alpha': 3.0}, 'reciprocal': {'k1': 20, 'k2': 6, 'lambda': 0.3}}
        """
        found: dict[str, Any] = {}
        for name, how in zip(NAMES[:2], (self.augmentation, self.expansion), strict=True):
            if how is not None:
                found[name] = {"k": how.k, "alpha": how.alpha}
        if self.reciprocal is not None:
            found[NAMES[2]] = {"k1": self.reciprocal.k1, "k2": self.reciprocal.k2, "lambda": self.reciprocal.weight}
        return found

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Operators:
        """Read what `as_dict` wrote; unknown keys and wrong values are refused."""
        made: dict[str, Any] = {}
        for name, numbers in value.items():
            if name not in NAMES:
                raise FinblendError(f"operators must be among {', '.join(NAMES)}, but got {name!r}")
            wanted = ("k1", "k2", "lambda") if name == NAMES[2] else ("k", "alpha")
            if not isinstance(numbers, Mapping) or set(numbers) != set(wanted):
                raise FinblendError(f"operator {name} must have the keys {', '.join(wanted)}, but got {numbers}")
            kind = Reciprocal if name == NAMES[2] else Expansion
            try:
                made[FIELDS[name]] = kind(*(numbers[key] for key in wanted))
            except FinblendError as error:
                raise FinblendError(f"operator {name}: {error}") from None
        return cls(**made)


def read_operators(value: Mapping[str, Mapping[str, Any]]) -> dict[str, Operators]:
    """The operators of each model that has some, as a blend file holds them; wrong values are refused."""
    operators = {}
    for name, numbers in value.items():
        try:
            operators[name] = Operators.from_dict(numbers)
        except FinblendError as error:
            raise FinblendError(f"operators of {name}: {error}") from None
    return {name: how for name, how in operators.items() if how}


def wanted_operators(names: Iterable[str]) -> tuple[str, ...]:
    """Check what the user asks for; in the order of application."""
    asked = [name.strip() for name in names if name.strip()]
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        raise FinblendError(f"--operators must be among {', '.join(NAMES)}, but got {unknown[0]}")
    return tuple(name for name in NAMES if name in asked)


def moved(
    space: Space,
    how: Operators,
    rows: np.ndarray,
    gallery_rows: np.ndarray,
    start: Path,
    keep: Keep,
    own: np.ndarray | None = None,
) -> Space:
    """Move gallery photos and queries as the operators say.

    Parameters
    ----------
    space : Space
    how : Operators
    rows : (n,) int array
        The queries.
    gallery_rows : (m,) int array
        The gallery photos: nobody else moves anybody.
    start : Path
        Start of the names of the files that new arrays are in: they are as large as the embeddings.
    keep : callable
        Keeps neighbours, so that they are searched once.
    own : (n,) int array, optional
        The gallery photo that is the query itself, which does not move it; -1 for none.
    """
    views = range(space.n_views)
    if how.augmentation is not None:
        k = how.augmentation.k
        one = space
        found = keep("augmentation", k, lambda: _arrays(gallery_neighbours(one, k, gallery_rows, v) for v in views))
        near = [Neighbours(found[f"index{v}"], found[f"similarity{v}"]) for v in views]
        space = augment_gallery(space, near, gallery_rows, how.augmentation, _files(start, "gallery"))
    if how.expansion is not None:
        k = how.expansion.k
        two = space
        key = [k, Operators(how.augmentation).as_dict()]
        found = keep("expansion", key, lambda: _arrays(_near(two, k, v, rows, gallery_rows, own) for v in views))
        near = [Neighbours(found[f"index{v}"], found[f"similarity{v}"]) for v in views]
        space = expand_queries(space, near, rows, how.expansion, _files(start, "query"))
    return space


def _near(
    space: Space, k: int, view: int, rows: np.ndarray, gallery_rows: np.ndarray, own: np.ndarray | None
) -> Neighbours:
    inside = np.zeros(space.n_gallery, dtype=np.int32)
    inside[gallery_rows] = 1
    outside = np.zeros(space.n_query, dtype=np.int32)
    one_more = own is not None and bool((own != NOBODY).any())
    near = top_k(space, k + one_more, view=view, query_rows=rows, query_group=outside, gallery_group=inside)
    return without_selves(near, own) if own is not None and one_more else near


def _arrays(found: Iterable[Neighbours]) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for v, near in enumerate(found):
        out |= {f"index{v}": near.index, f"similarity{v}": near.similarity}
    return out


def _files(start: Path, side: str) -> Allocate:
    def allocate(shape: tuple[int, int], task: int, view: int) -> np.ndarray:
        name = f"{start}-{side}-{task}-{view}.npy"
        return np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=shape)

    return allocate
