"""Species that a model predicted beside its embeddings, where they were registered (`pred_species`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backbones.embeddings import SPLITS
from backbones.store import Store
from cv.catalogue import Catalogue
from ensemble.project.folder import Project

SPECIES = "pred_species"
# below this agreement with the train photos' species, class numbers are taken to be in another order
TRUSTED = 0.5


def species_shares(
    predicted: np.ndarray, species: Sequence[str], repairs: Mapping[str, str] | None = None
) -> np.ndarray | None:
    """Read predictions as (n, n_species) shares, or None where they do not fit the catalogue's species.

    Parameters
    ----------
    predicted : (n,) array of names, (n,) int array, or (n, n_species) float array >= 0
        Names (repaired as the catalogue's are), indices into `species`, or one score a species.
    species : sequence of str
        The catalogue's species, sorted.
    repairs : mapping of str to str, optional
        `Project.species_repairs`.

    Examples
    --------
    >>> species_shares(np.array(["kiler_whale"]), ["beluga", "killer_whale"], {"kiler_whale": "killer_whale"})
    array([[0., 1.]], dtype=float32)
    """
    n = len(species)
    if predicted.ndim == 2:
        if predicted.shape[1] != n or predicted.dtype.kind != "f" or not (predicted >= 0).all():
            return None
        total = predicted.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(predicted, total, out=np.zeros_like(predicted), where=total > 0), dtype=np.float32)
    if predicted.dtype.kind in "iu":
        index = predicted.astype(np.int64)
    else:
        names = list(species)
        index_of = {raw: names.index(name) for raw, name in (repairs or {}).items() if name in names}
        index_of |= {name: i for i, name in enumerate(names)}
        index = np.array([index_of.get(str(name), -1) for name in predicted], dtype=np.int64)
    if not ((index >= 0) & (index < n)).all():
        return None
    shares = np.zeros((len(index), n), dtype=np.float32)
    shares[np.arange(len(index)), index] = 1.0
    return shares


def why_species_unusable(predicted: np.ndarray, catalogue: Catalogue, repairs: Mapping[str, str]) -> str | None:
    """Say why predictions for the train photos cannot be used as species, or None."""
    shares = species_shares(predicted, catalogue.species, repairs)
    if shares is None:
        return "are not among the catalogue's species"
    truth = np.searchsorted(catalogue.species, catalogue.train["species"].to_numpy())
    agreement = float((shares.argmax(axis=1) == truth).mean())
    return (
        None if agreement >= TRUSTED else f"agree with the catalogue's species on {100 * agreement:.0f} % of the photos"
    )


def with_predicted_species(
    votes: np.ndarray, stores: Mapping[str, list[Store]], split: str, rows: np.ndarray, project: Project
) -> np.ndarray:
    """Average the neighbours' votes with what the models predicted.

    Parameters
    ----------
    votes : (n, n_species) float32 array
    stores : mapping of model to the stores that speak for these photos
        Out-of-fold the one that never saw their labels, in test all that are used.
    split : {"train", "test"}
    rows : (n,) int array
        Rows of the split.
    project : Project
    """
    opinions = [votes]
    for stores_of_model in stores.values():
        predicted = [usable_shares(store, project) for store in stores_of_model]
        shares = [by_split[split][rows] for by_split in predicted if by_split is not None]
        if shares:
            opinions.append(np.mean(shares, axis=0))
    return np.asarray(np.mean(opinions, axis=0), dtype=np.float32)


def usable_shares(store: Store, project: Project) -> dict[str, np.ndarray] | None:
    """A store's species predictions of each split, or None where it has none that may be used."""
    if SPECIES not in store.manifest.predictions:
        return None
    catalogue, repairs = project.catalogue, project.species_repairs
    if why_species_unusable(store.prediction("train", SPECIES), catalogue, repairs) is not None:
        return None
    shares: dict[str, np.ndarray] = {}
    for split in SPLITS:
        read = species_shares(store.prediction(split, SPECIES), catalogue.species, repairs)
        if read is None:
            return None
        shares[split] = read
    return shares
