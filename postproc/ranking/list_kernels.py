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
def blend_columns(weights: np.ndarray, by_column: np.ndarray, first: int, stop: int, out: np.ndarray) -> None:
    """Weighted sums of a range of photos, column after column: so, and only so, compilers turn it into vectors."""
    out[: stop - first] = 0.0
    for c in range(by_column.shape[0]):
        # a column without evidence (-inf) must not turn the sum into NaN
        if weights[c] != 0.0:
            column = by_column[c, first:stop]
            for i in range(stop - first):
                out[i] += weights[c] * column[i]


@kernel(inline="always")
def _sink(highest: np.ndarray, value: float) -> None:
    """Put a value among the highest, which stand in descending order; without branches, for none could be guessed."""
    for i in range(highest.shape[0]):
        above = max(highest[i], value)
        value = min(highest[i], value)
        highest[i] = above


@kernel()
def list_best(
    start: int,
    stop: int,
    value: np.ndarray,
    individual: np.ndarray,
    photo_start: np.ndarray,
    photo: np.ndarray,
    penalty: float,
    species_mismatch: np.ndarray,
    species_of_individual: np.ndarray,
    best: np.ndarray,
    nearest: np.ndarray,
    highest: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Fill one query's list where an individual's score is that of its best photo, as `rank_groups` does in general.

    `value` is what the query's candidates score; `best` (groups, 3) and `nearest` (groups) are to work in, `highest` as
    long as the list.
    """
    base = photo_start[start]
    end = base
    highest[:] = -np.inf
    for g in range(start, stop):
        first, end = end, photo_start[g + 1]
        total, at = value[first - base], first
        for p in range(first + 1, end):
            at = p if value[p - base] > total else at
            total = max(total, value[p - base])
        if penalty > 0.0:
            total -= penalty * species_mismatch[species_of_individual[individual[g]]]
        best[g - start, 0], nearest[g - start] = total, at
        _sink(highest, total)
    # scores are float32, and of equals the first counts
    cut = np.float32(highest[highest.shape[0] - 1])
    for g in range(start, stop):
        if np.float32(best[g - start, 0]) >= cut:
            at = photo[nearest[g - start]]
            place(out_score, out_individual, out_photo, filled, best[g - start, 0], individual[g], at, False)


@kernel()
def list_best_means(
    start: int,
    stop: int,
    value: np.ndarray,
    weights: np.ndarray,
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
    highest: np.ndarray,
    out_individual: np.ndarray,
    out_score: np.ndarray,
    out_photo: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Fill one query's list where an individual's score is the mean of its best two or three photos, all of them there.

    Candidates first, for all individuals; then the further photos of those that these could lift into the list, for
    none of them scores above the ceiling. `best` (groups, 3), `nearest` (groups) and `highest`, as long as the list,
    are to work in.
    """
    columns = further_similarity.shape[1]
    highest[:] = -np.inf
    base = photo_start[start]
    end = base
    for g in range(start, stop):
        first, end = end, photo_start[g + 1]
        one, two, three, at = -np.inf, -np.inf, -np.inf, first
        for p in range(first, end):
            score = value[p - base]
            at = p if score > one else at
            one, behind = max(one, score), min(one, score)
            two, behind = max(two, behind), min(two, behind)
            three = max(three, behind)
        best[g - start, 0], best[g - start, 1], best[g - start, 2], nearest[g - start] = one, two, three, at
        wanted = min(top_photos, gallery_photos[g])
        if end - first >= wanted:
            # more photos can only raise the mean of the best
            sure = _mean_of(one, two, three, wanted)
            if penalty > 0.0:
                sure -= penalty * species_mismatch[species_of_individual[individual[g]]]
            _sink(highest, sure)
    cut = np.float32(highest[highest.shape[0] - 1])
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
            score = 0.0
            for c in range(columns):
                if weights[c] != 0.0:
                    score += weights[c] * further_most[g, c]
            cap = min(cap, score)
            most = np.float32(_mean_of(max(one, cap), max(two, cap), max(three, cap), wanted) - deduction)
            if most < cut or not most > least:
                continue
            for p in range(further, last):
                score = 0.0
                for c in range(columns):
                    if weights[c] != 0.0:
                        score += weights[c] * further_similarity[p, c]
                if score > one or (score == one and further_photo[p] < like):
                    like = further_photo[p]
                one, behind = max(one, score), min(one, score)
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
