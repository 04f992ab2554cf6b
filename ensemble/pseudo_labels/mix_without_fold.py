"""The mix that test photos are in when a fold is not in their gallery."""

from __future__ import annotations

import numpy as np

from cv.mix import Mix
from cv.new_share import at_share
from ensemble.tuning.nested import HeldOutFold


def mix_without_fold(held_out: HeldOutFold, species: np.ndarray | None) -> tuple[Mix, np.ndarray]:
    """The mix without a fold, and (n_individuals,) each individual's photos there.

    Who has photos in the fold only becomes a stranger. How often that happens is told by the other folds: each in turn
    is hidden, too, and those who have photos there only are counted in the mix. Shares by species keep their pattern.

    Parameters
    ----------
    held_out : HeldOutFold
    species : (n_species,) float array or None
        Share of each species among the test photos; as out-of-fold by default.
    """
    setup, catalogue = held_out.setup, held_out.setup.project.catalogue
    folds, n = catalogue.folds, len(catalogue.individuals)
    rest = folds != held_out.fold
    photos = np.bincount(catalogue.labels[rest], minlength=n)
    exponent = 1.0 if setup.mix.gallery_exponent is None else setup.mix.gallery_exponent
    rate = np.where(photos > 0, photos.astype(np.float64) ** exponent, 0.0)
    lost = [
        rate[photos == np.bincount(catalogue.labels[rest & (folds == other)], minlength=n)].sum() / rate.sum()
        for other in catalogue.fold_ids
        if other != held_out.fold
    ]
    evaluation_set = held_out.others.evaluation_set
    share = evaluation_set.new_share
    if evaluation_set.is_new.any() or evaluation_set.query_set.can_hide:
        share += (1 - share) * float(np.mean(lost))
    if species is None:
        likely = evaluation_set.query_set.species.likely[evaluation_set.queries]
        species = np.bincount(likely, minlength=len(catalogue.species)) / len(likely)
    return at_share(setup.mix, share, catalogue.species, species), photos
