"""A project's pair sources: which there are, and what may be kept of pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backbones.pair_store import PairStore
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from ensemble.project.folder import Project
from ensemble.registry.stores import refuse_odd_name


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


def check_pair_place(project: Project, name: str, *, replace: bool = False) -> None:
    """Refuse a name that no pair source may have, or has already."""
    refuse_odd_name(name)
    if name in project.stores():
        raise FinblendError(f"{name}: is a model of {project.folder}; give the pair source another name")
    if name in project.pair_stores() and not replace:
        raise FinblendError(f"{name}: is a pair source of {project.folder} already; use --replace to make it again")


def pair_contents(stores: Mapping[str, PairStore]) -> dict[str, str]:
    """Hash of what each pair source says."""
    return {name: store.manifest.content_sha256 for name, store in stores.items()}


def is_leak(catalogue: Catalogue, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(m,) bool: out-of-fold pairs whose gallery photo is of the query's fold or encounter, the photo itself included.

    Such a photo is not in the query's gallery: what is said of the pair would tell who is on it.

    Parameters
    ----------
    catalogue : Catalogue
    query, gallery : (m,) int arrays
        Rows of train photos.
    """
    leak = np.asarray(catalogue.folds[query] == catalogue.folds[gallery])
    encounters = catalogue.encounters
    return np.asarray(leak | ((encounters[query] == encounters[gallery]) & (encounters[query] >= 0)))
