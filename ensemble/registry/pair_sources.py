"""A project's pair sources: which there are, and what may be kept of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbones.pair_store import PairStore
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from ensemble.project.folder import Project
from ensemble.project.result import Result
from ensemble.registry.stores import refuse_odd_name


@dataclass(frozen=True, kw_only=True)
class PairSource(Result):
    """One pair source.

    Attributes
    ----------
    name : str
    train_pairs, test_pairs : int
    made : str
        How it came about.
    """

    name: str
    train_pairs: int
    test_pairs: int
    made: str


def pair_sources(project: Project) -> list[PairSource]:
    """Every pair source of a project, by name."""
    manifests = {name: store.manifest for name, store in project.pair_stores().items()}
    return [
        PairSource(name=name, train_pairs=each.pairs["train"], test_pairs=each.pairs["test"], made=told(each.made))
        for name, each in manifests.items()
    ]


def told(made: Mapping[str, Any]) -> str:
    """How pairs came about, in words: the files they were registered from, or what they were made by."""
    if "files" in made:
        return f"registered from {' and '.join(each['file'] or 'a table' for each in made['files'])}"
    return ", ".join(f"{key} {value}" for key, value in made.items() if isinstance(value, (str, int, float)))


def check_pair_place(project: Project, name: str, *, replace: bool = False) -> None:
    """Refuse a name that is odd, a model's, or, without replace, another pair source's."""
    refuse_odd_name(name, "pair source")
    if name in project.stores():
        raise FinblendError(f"{name}: is a model of {project.folder}; a pair source needs another name")
    if not replace and name in project.pair_stores():
        raise FinblendError(f"{name} is a pair source already; use --replace to make it again")


def require_pair_sources(project: Project, names: list[str] | None = None) -> dict[str, PairStore]:
    """The named pair sources of a project, all by default; refused where one is not there or of other photos."""
    stores = project.pair_stores()
    unknown = [name for name in names or [] if name not in stores]
    if unknown:
        raise FinblendError(
            f"{unknown[0]}: is no pair source of {project.folder}; it has {', '.join(stores) or 'none'}"
        )
    chosen = stores if names is None else {name: stores[name] for name in names}
    for store in chosen.values():
        store.verify(project.photos_hash)
    return chosen


def pair_contents(stores: Mapping[str, PairStore]) -> dict[str, str]:
    """Hash of what each pair source says."""
    return {name: store.manifest.content_sha256 for name, store in stores.items()}


def is_leak(catalogue: Catalogue, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(m,) bool: pairs of train photos that are of one encounter, or one photo.

    Such a photo is in no query's gallery: what is said of the pair would tell who is on it. Where a blend leaves out
    the whole fold, what is said of its pairs is passed over (`RetrievalTask.pair_tables`).

    Parameters
    ----------
    catalogue : Catalogue
    query, gallery : (m,) int arrays
        Rows of train photos.
    """
    encounters = catalogue.encounters
    same = (encounters[query] == encounters[gallery]) & (encounters[query] >= 0)
    return np.asarray(same | (query == gallery))
