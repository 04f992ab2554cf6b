"""The catalogue, species repair, folds and metrics: labels only, no embeddings."""

from cv.catalogue import NEW_INDIVIDUAL, Catalogue, read_catalogue
from cv.errors import FinblendError
from cv.folds import gallery_photos, make_folds
from cv.metrics import average_precision, map5
from cv.mix import Catalogued, Mix, Photos, mix_weights
from cv.species import HAPPYWHALE_REPAIRS, repair_species

__all__ = [
    "HAPPYWHALE_REPAIRS",
    "NEW_INDIVIDUAL",
    "Catalogue",
    "Catalogued",
    "FinblendError",
    "Mix",
    "Photos",
    "average_precision",
    "gallery_photos",
    "make_folds",
    "map5",
    "mix_weights",
    "read_catalogue",
    "repair_species",
]
