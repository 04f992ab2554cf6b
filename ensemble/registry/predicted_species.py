"""Species that a model predicted beside its embeddings, where they were registered (`pred_species`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backbones.embeddings import SPLITS
from backbones.store import Store
from cv.catalogue import Catalogue
from cv.species import HAPPYWHALE_REPAIRS

NAME = "pred_species"
# below this agreement with the train photos' species, class numbers are taken to be in another order
TRUSTED = 0.5


def species_shares(values: np.ndarray, species: Sequence[str]) -> np.ndarray | None:
    """Read predictions as (n, n_species) shares, or None where they do not fit the catalogue's species.

    Parameters
    ----------
    values : (n,) array of names, (n,) int array, or (n, n_species) float array >= 0
        Names (repaired as the catalogue's are), indices into `species`, or one score a species.
    species : sequence of str
        The catalogue's species, sorted.

    Examples
    --------
    >>> species_shares(np.array(["kiler_whale"]), ["beluga", "killer_whale"])
    array([[0., 1.]], dtype=float32)
    """
    n = len(species)
    if values.ndim == 2:
        if values.shape[1] != n or values.dtype.kind != "f" or not (values >= 0).all():
            return None
        total = values.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(values, total, out=np.zeros_like(values), where=total > 0), dtype=np.float32)
    if values.dtype.kind in "iu":
        index = values.astype(np.int64)
    else:
        names = list(species)
        places = {raw: names.index(new) for raw, new in HAPPYWHALE_REPAIRS.items() if new in names}
        places |= {name: i for i, name in enumerate(names)}
        index = np.array([places.get(str(v), -1) for v in values], dtype=np.int64)
    if not ((index >= 0) & (index < n)).all():
        return None
    shares = np.zeros((len(index), n), dtype=np.float32)
    shares[np.arange(len(index)), index] = 1.0
    return shares


def why_unusable(values: np.ndarray, catalogue: Catalogue) -> str | None:
    """Say why predictions for the train photos cannot be used as species, or None."""
    shares = species_shares(values, catalogue.species)
    if shares is None:
        return "are not among the catalogue's species"
    truth = np.searchsorted(catalogue.species, catalogue.train["species"].to_numpy())
    agreement = float((shares.argmax(axis=1) == truth).mean())
    return (
        None if agreement >= TRUSTED else f"agree with the catalogue's species on {100 * agreement:.0f} % of the photos"
    )


def with_registered(
    votes: np.ndarray, stores: Mapping[str, list[Store]], split: str, rows: np.ndarray, catalogue: Catalogue
) -> np.ndarray:
    """Average the neighbours' votes with what the models predicted.

    Parameters
    ----------
    votes : (n, n_species) float32 array
    stores : mapping of source to the stores that speak for these photos
        Out-of-fold the one that never saw their labels, in test all that are used.
    split : {"train", "test"}
    rows : (n,) int array
        Rows of the split.
    catalogue : Catalogue
    """
    opinions = [votes]
    for own in stores.values():
        found = []
        for store in own:
            if NAME in store.manifest.predictions:
                both = all(species_shares(store.prediction(s, NAME), catalogue.species) is not None for s in SPLITS)
                usable = both and why_unusable(store.prediction("train", NAME), catalogue) is None
                shares = species_shares(store.prediction(split, NAME), catalogue.species) if usable else None
                if shares is not None:
                    found.append(shares[rows])
        if found:
            opinions.append(np.mean(found, axis=0))
    return np.asarray(np.mean(opinions, axis=0), dtype=np.float32)
