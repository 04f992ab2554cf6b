"""The catalogue, species repair, folds and metrics: labels only, no embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cv.lazy import lazy_names

if TYPE_CHECKING:
    from cv.catalogue import NEW_INDIVIDUAL, Catalogue, read_catalogue
    from cv.errors import FinblendError
    from cv.folds import gallery_photos, make_folds
    from cv.metrics import average_precision, map5
    from cv.mix import Mix
    from cv.populations import Population, Sample
    from cv.species import HAPPYWHALE_REPAIRS, repair_species
    from cv.weighting import joined_species, mix_weights

__getattr__ = lazy_names(
    __name__,
    {
        "HAPPYWHALE_REPAIRS": "cv.species",
        "NEW_INDIVIDUAL": "cv.catalogue",
        "Catalogue": "cv.catalogue",
        "Population": "cv.populations",
        "FinblendError": "cv.errors",
        "Mix": "cv.mix",
        "Sample": "cv.populations",
        "average_precision": "cv.metrics",
        "gallery_photos": "cv.folds",
        "joined_species": "cv.weighting",
        "make_folds": "cv.folds",
        "map5": "cv.metrics",
        "mix_weights": "cv.weighting",
        "read_catalogue": "cv.catalogue",
        "repair_species": "cv.species",
    },
)

__all__ = [
    "HAPPYWHALE_REPAIRS",
    "NEW_INDIVIDUAL",
    "Catalogue",
    "FinblendError",
    "Mix",
    "Population",
    "Sample",
    "average_precision",
    "gallery_photos",
    "joined_species",
    "make_folds",
    "map5",
    "mix_weights",
    "read_catalogue",
    "repair_species",
]
