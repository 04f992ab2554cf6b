"""The contract of what vectors are written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ensemble.outputs.vectors.blend_space import BlendSpace

# what the two splits are for: photos that are searched, photos that are searched for
ROLES = {"train": "gallery", "test": "queries"}
# of the clients
EXTRA = "vectors"


class VectorSink(Protocol):
    """Somewhere to write a blend's vectors."""

    @property
    def place(self) -> str:
        """For people: a folder, or a server without what is secret about its address."""
        ...

    def write(self, spaces: Sequence[BlendSpace]) -> list[str]:
        """Write the vectors of all spaces, or none: what stood there before stays until all is complete.

        Returns
        -------
        list of str
            The files, tables or collections that hold them.

        Raises
        ------
        FinblendError
            If something is in the way, before anything is computed; or if writing fails.
        """
        ...


def container(name: str, space: BlendSpace, split: str) -> str:
    """What a server calls a split of a space: NAME, NAME_queries, NAME_fold_0, NAME_fold_0_queries."""
    of_fold = "" if space.fold is None else f"_fold_{space.fold}"
    return f"{name}{of_fold}" + ("" if split == "train" else f"_{ROLES[split]}")
