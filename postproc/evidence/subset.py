"""Evidence of a gallery that lacks some photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from postproc.evidence.evidence import Evidence


def with_photos(evidence: Evidence, keep: np.ndarray, gallery_photos: np.ndarray, people: np.ndarray) -> Evidence:
    """Evidence as if some photos were not in the gallery; nothing is compared again.

    The bounds stay: what no candidate was as similar as, no photo of fewer is.

    Parameters
    ----------
    evidence : Evidence
        With all its candidates: pruned evidence may lack photos that only others made useless.
    keep : (photos,) bool array
        The candidate photos that are still there.
    gallery_photos : (groups,) int array
        Photos of each group's individual in the smaller gallery.
    people : (n,) int array
        Individuals in it.
    """
    kept = np.append(0, np.cumsum(keep))
    per_group = np.diff(kept[evidence.photo_start])
    groups = per_group > 0
    return replace(
        evidence,
        group_start=np.append(0, np.cumsum(groups))[evidence.group_start],
        individual=evidence.individual[groups],
        gallery_photos=gallery_photos[groups].astype(np.int32),
        photo_start=np.append(0, np.cumsum(per_group[groups])),
        photo=evidence.photo[keep],
        similarity=evidence.similarity[keep],
        pairs=None if evidence.pairs is None else evidence.pairs[keep],
        people=people.astype(np.int32),
    )
