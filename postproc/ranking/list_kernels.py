"""One query's list: an individual's score is that of its best photo, or the mean of its best two or three.

Most of a trial's time goes here.
"""

from __future__ import annotations

import numpy as np

from postproc.compiled import kernel


@kernel(inline="always")
def insert(best: np.ndarray, n_kept: int, wanted: int, value: float) -> int:
    """Keep the `wanted` highest values in descending order; return how many there are."""
    if n_kept < wanted:
        n_kept += 1
    elif not value > best[n_kept - 1]:
        return n_kept
    at = n_kept - 1
    while at > 0 and best[at - 1] < value:
        best[at] = best[at - 1]
        at -= 1
    best[at] = value
    return n_kept


@kernel(inline="always")
def place(
    scores: np.ndarray,
    individuals: np.ndarray,
    photos: np.ndarray,
    filled: np.ndarray,
    score: float,
    individual: int,
    photo: int,
    is_filled: bool,
) -> None:
    """Put an individual into a query's list, behind those that score as much; scores are float32."""
    value = np.float32(score)
    at = scores.shape[0] - 1
    if not value > scores[at]:
        return
    while at > 0 and scores[at - 1] < value:
        scores[at], individuals[at], photos[at] = scores[at - 1], individuals[at - 1], photos[at - 1]
        filled[at] = filled[at - 1]
        at -= 1
    scores[at], individuals[at], photos[at], filled[at] = value, individual, photo, is_filled


@kernel()
def list_best(
    start: int,
    stop: int,
    weights: np.ndarray,
    is_plain: bool,
    similarity: np.ndarray,
    individual: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    ceiling: float,
    species_ceiling: float,
    penalty: float,
    species_mismatch: np.ndarray,
    likely: int,
    species_of_individual: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    filled: np.ndarray,
) -> float:
    """Fill one query's list where an individual's score is that of its best photo, as `rank_groups` does in general.

    `is_plain` says that every column has weight, so that none has to be passed over; `ceiling` is no less than
    `species_ceiling`. Returns the most that an unseen photo can make of an individual that has candidates.
    """
    columns = similarity.shape[1]
    highest = -np.inf
    least = np.float32(-np.inf)
    end = photo_start[start]
    for g in range(start, stop):
        first, end = end, photo_start[g + 1]
        total, nearest, deduction = -np.inf, -1, 0.0
        for p in range(first, end):
            value = 0.0
            for c in range(columns):
                if is_plain or weights[c] != 0.0:
                    value += weights[c] * similarity[p, c]
            if value > total:
                total, nearest = value, p
        if penalty > 0.0:
            deduction = penalty * species_mismatch[species_of_individual[individual[g]]]
        if ceiling > total and end - first != gallery_photos[g]:
            most = species_ceiling if species_of_individual[individual[g]] == likely else ceiling
            if most > total:
                highest = max(highest, most - deduction)
        if np.float32(total - deduction) > least:
            place(out_score, out_individual, out_photo, filled, total - deduction, individual[g], photo[nearest], False)
            least = out_score[out_score.shape[0] - 1]
    return highest


@kernel()
def list_best_means(
    start: int,
    stop: int,
    weights: np.ndarray,
    is_plain: bool,
    similarity: np.ndarray,
    individual: np.ndarray,
    gallery_photos: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    further_start: np.ndarray,
    further_photo: np.ndarray,
    further_similarity: np.ndarray,
    further_most: np.ndarray,
    top_photos: int,
    ceiling: float,
    species_ceiling: float,
    penalty: float,
    species_mismatch: np.ndarray,
    likely: int,
    species_of_individual: np.ndarray,
    best: np.ndarray,
    nearest: np.ndarray,
    lowest: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Fill one query's list where an individual's score is the mean of its best two or three photos, all of them there.

    Candidates first, for all individuals; then the further photos of those that these could lift into the list, for
    none of them scores above the ceiling. `best` (groups, 3) and `nearest` (groups) are to work in, `lowest` as long as
    the list.
    """
    columns = similarity.shape[1]
    n_sure = 0
    end = photo_start[start]
    for g in range(start, stop):
        first, end = end, photo_start[g + 1]
        one, two, three, at = -np.inf, -np.inf, -np.inf, first
        for p in range(first, end):
            value = 0.0
            for c in range(columns):
                if is_plain or weights[c] != 0.0:
                    value += weights[c] * similarity[p, c]
            at = p if value > one else at
            one, behind = max(one, value), min(one, value)
            two, behind = max(two, behind), min(two, behind)
            three = max(three, behind)
        best[g - start, 0], best[g - start, 1], best[g - start, 2], nearest[g - start] = one, two, three, at
        wanted = min(top_photos, gallery_photos[g])
        if end - first >= wanted:
            # more photos can only raise the mean of the best
            sure = _mean_of(one, two, three, wanted)
            if penalty > 0.0:
                sure -= penalty * species_mismatch[species_of_individual[individual[g]]]
            n_sure = insert(lowest, n_sure, lowest.shape[0], sure)
    cut = np.float32(lowest[n_sure - 1]) if n_sure == lowest.shape[0] else np.float32(-np.inf)
    least = np.float32(-np.inf)
    for g in range(start, stop):
        one, two, three = best[g - start, 0], best[g - start, 1], best[g - start, 2]
        if np.float32(one) < cut and np.float32(ceiling) < cut:
            continue
        further, last = further_start[g], further_start[g + 1]
        if np.float32(one) < cut and further == last:
            continue
        like = photo[nearest[g - start]]
        wanted = min(top_photos, gallery_photos[g])
        deduction = 0.0
        if penalty > 0.0:
            deduction = penalty * species_mismatch[species_of_individual[individual[g]]]
        if further < last:
            cap = species_ceiling if species_of_individual[individual[g]] == likely else ceiling
            most = np.float32(_mean_of(max(one, cap), max(two, cap), max(three, cap), wanted) - deduction)
            if most < cut or not most > least:
                continue
            value = 0.0
            for c in range(columns):
                if is_plain or weights[c] != 0.0:
                    value += weights[c] * further_most[g, c]
            cap = min(cap, value)
            most = np.float32(_mean_of(max(one, cap), max(two, cap), max(three, cap), wanted) - deduction)
            if most < cut or not most > least:
                continue
            for p in range(further, last):
                value = 0.0
                for c in range(columns):
                    if is_plain or weights[c] != 0.0:
                        value += weights[c] * further_similarity[p, c]
                if value > one or (value == one and further_photo[p] < like):
                    like = further_photo[p]
                one, behind = max(one, value), min(one, value)
                two, behind = max(two, behind), min(two, behind)
                three = max(three, behind)
        score = _mean_of(one, two, three, wanted) - deduction
        if np.float32(score) > least:
            place(out_score, out_individual, out_photo, filled, score, individual[g], like, False)
            least = out_score[out_score.shape[0] - 1]


@kernel(inline="always")
def _mean_of(one: float, two: float, three: float, wanted: int) -> float:
    """Mean of the first `wanted` of three."""
    if wanted == 1:
        return one
    return (one + two) / 2.0 if wanted == 2 else (one + two + three) / 3.0
