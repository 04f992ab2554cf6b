"""The compiled loops between a ranking and its MAP@5: what is right in each list, the exact threshold, the bounds.

A list of seven becomes one of six, an individual hidden from it or the last place dropped, and scores are taken against
the background: the same rules as `Ranking.hiding`, `Ranking.against_background` and `decide`, without an array in
between (tests hold the two against each other).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from cv.metrics import MAX_NAMES
from postproc.compiled import kernel
from postproc.neighbours.search import NOBODY

_RULE_A = 0
_CHUNK = 256
NO_HIT = MAX_NAMES
STRANGER = -1


@kernel(inline="always")
def _reciprocal(place: Any) -> float:
    """Average precision of an answer whose right name stands at `place`, counted from 0."""
    return 1.0 / (place + 1) if place < MAX_NAMES else 0.0


@kernel(parallel=True)
def prepare_lists(
    query: np.ndarray,
    hide: np.ndarray,
    truth: np.ndarray,
    individual: np.ndarray,
    score: np.ndarray,
    background: float,
    out_score: np.ndarray,
    out_names: np.ndarray,
    out_place: np.ndarray,
    out_raw: np.ndarray,
) -> None:
    """Take lists of seven to what the decision needs.

    Parameters
    ----------
    query : (m,) int array
        Which list sits.
    hide : (m,) int array
        The individual that is hidden; -1 for none.
    truth : (m,) int array
        The right label; negative for strangers.
    individual, score : (n, 7) arrays
    background : float
    out_score : (m, 5) float32 array
        Against the background.
    out_names : (m,) int8 array
        How many names the list has, at most 5.
    out_place : (m,) int8 array
        Place of the right name, 5 where it is not there, -1 for strangers.
    out_raw : (m, 6) float32 array
        Scores before the background is taken off.
    """
    width = individual.shape[1]
    for block in numba.prange((len(query) + _CHUNK - 1) // _CHUNK):
        for i in range(block * _CHUNK, min(len(query), (block + 1) * _CHUNK)):
            q = query[i]
            skip = width - 1
            if hide[i] >= 0:
                for k in range(width - 1):
                    if individual[q, k] == hide[i]:
                        skip = k
                        break
            place = STRANGER if truth[i] < 0 else NO_HIT
            names, there, runners_up = 0, 0, 0.0
            for k in range(width - 1):
                at = k if k < skip else k + 1
                value = score[q, at]
                out_raw[i, k] = value
                if k < MAX_NAMES and individual[q, at] != NOBODY:
                    names += 1
                    if truth[i] >= 0 and individual[q, at] == truth[i]:
                        place = k
                if k > 0 and np.isfinite(value):
                    runners_up += np.float64(value)
                    there += 1
            mean = runners_up / max(there, 1)
            for k in range(MAX_NAMES):
                out_score[i, k] = np.float32(np.float64(out_raw[i, k]) - background * mean)
            out_names[i], out_place[i] = names, place


@kernel()
def collect_events(
    rule: int,
    score: np.ndarray,
    names: np.ndarray,
    place: np.ndarray,
    weights: np.ndarray,
    keys: np.ndarray,
    gains: np.ndarray,
) -> tuple[int, float]:
    """List the scores at which MAP@5 changes as the threshold passes them.

    Returns their number and the MAP@5 below all of them. A key holds a score, in an order that integers have, above
    the place of its gain.
    """
    n, start = 0, 0.0
    for i in range(len(names)):
        w = weights[i]
        if rule == _RULE_A:
            # only the first two places change hands: the best name and NEW
            if place[i] == STRANGER:
                start += w * _reciprocal(min(1, names[i]))
                gain = 0.5 * w
            elif place[i] == 0:
                start += w
                gain = -0.5 * w
            else:
                start += w * _reciprocal(place[i] + 1)
                continue
            if names[i] > 0:
                keys[n], gains[n] = (_ordered(score[i, 0]) << np.uint64(32)) | np.uint64(n), gain
                n += 1
        elif place[i] == STRANGER:
            # NEW moves up past each name
            start += w * _reciprocal(names[i])
            for k in range(names[i]):
                keys[n] = (_ordered(score[i, k]) << np.uint64(32)) | np.uint64(n)
                gains[n] = w * (_reciprocal(k) - _reciprocal(k + 1))
                n += 1
        elif place[i] < MAX_NAMES:
            # the right name moves down when NEW passes it
            k = place[i]
            start += w * _reciprocal(k)
            keys[n] = (_ordered(score[i, k]) << np.uint64(32)) | np.uint64(n)
            gains[n] = w * (_reciprocal(k + 1) - _reciprocal(k))
            n += 1
    return n, start


@kernel(inline="always")
def _ordered(value: np.float32) -> np.uint64:
    """A float32 as an integer of 32 bits that is ordered alike; -0.0 as 0.0."""
    bits = np.uint64(np.float32(value + np.float32(0.0)).view(np.uint32))
    return ~bits & np.uint64(0xFFFFFFFF) if bits >> np.uint64(31) else bits | np.uint64(0x80000000)


@kernel(inline="always")
def _value(key: np.uint64) -> float:
    """The score of a key."""
    bits = key >> np.uint64(32)
    # numba widens small integers, so the bits are cut back to 32 before they are looked at as a float
    plain = bits & np.uint64(0x7FFFFFFF) if bits >> np.uint64(31) else ~bits & np.uint64(0xFFFFFFFF)
    return np.float64(np.uint32(plain).view(np.float32))


@kernel()
def scores_of(keys: np.ndarray) -> np.ndarray:
    """(n,) float64 scores of keys."""
    found = np.empty(len(keys))
    for e in range(len(keys)):
        found[e] = _value(keys[e])
    return found


@kernel()
def best_interval(keys: np.ndarray, gains: np.ndarray, start: float) -> tuple[float, float, float]:
    """Between which thresholds (low, high] MAP@5 is highest, and how high; sorted keys.

    Of several equally good intervals the widest that is bounded; without one, the first of all.
    """
    best = start
    total = start
    n = len(keys)
    for e in range(n):
        total += gains[np.int64(keys[e] & np.uint64(0xFFFFFFFF))]
        if e + 1 == n or keys[e] >> np.uint64(32) != keys[e + 1] >> np.uint64(32):
            best = max(best, total)
    low, high, reached, width = -np.inf, np.inf, start, -2.0
    total, lower = start, -np.inf
    for e in range(n + 1):
        upper = _value(keys[e]) if e < n else np.inf
        # the interval between two different scores
        if (e == 0 or upper > lower) and total >= best - 1e-12:
            own = upper - lower if np.isfinite(lower) and np.isfinite(upper) else -1.0
            if own > width:
                low, high, reached, width = lower, upper, total, own
        if e < n:
            total += gains[np.int64(keys[e] & np.uint64(0xFFFFFFFF))]
            lower = upper
    return low, high, reached


@kernel(parallel=True)
def score_lists(
    rule: int,
    threshold: float,
    query: np.ndarray,
    bound: np.ndarray,
    full: np.ndarray,
    score: np.ndarray,
    names: np.ndarray,
    place: np.ndarray,
    raw: np.ndarray,
    background: float,
    precision: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
) -> None:
    """Score each list, and bound its score over all that the unseen part of the gallery could hold.

    With B the most that an unseen photo can score, the true k-th best score lies in [s_k, max(s_k, B)], and names that
    score above B stand where they stand. `full` says of which lists there are seven individuals in the gallery; where
    the candidates hold fewer, the missing scores are only known to be at most B.
    """
    for block in numba.prange((len(names) + _CHUNK - 1) // _CHUNK):
        for i in range(block * _CHUNK, min(len(names), (block + 1) * _CHUNK)):
            new_at = _new_place(rule, threshold, score[i], names[i])
            if place[i] == STRANGER:
                precision[i] = _reciprocal(new_at)
            else:
                precision[i] = _reciprocal(place[i] + (new_at <= place[i])) if place[i] < MAX_NAMES else 0.0
            least[i], most[i] = precision[i], precision[i]
            b = bound[query[i]]
            if np.isneginf(b) or raw[i, MAX_NAMES] > b:
                continue
            least[i], most[i] = 0.0, 1.0
            # the mean of the runners-up is bounded only where there are five of them, seen or not
            if np.isposinf(b) or not full[query[i]]:
                continue
            low_mean, high_mean, certain = 0.0, 0.0, 0
            for k in range(MAX_NAMES + 1):
                certain += int(raw[i, k] > b)
                if k > 0:
                    low_mean += np.float64(raw[i, k]) / MAX_NAMES
                    high_mean += np.float64(max(raw[i, k], b)) / MAX_NAMES
            # sums in float64 are off by far less; rounded to float32 as the decision sees them, which keeps their order
            ease = 1e-9 * (1.0 + background)
            # a mean of scores nobody has seen may be anything, but without a background it does not matter
            low_shift = background * low_mean if background > 0.0 else 0.0
            high_shift = background * high_mean
            above_least, above_most = 0, 0
            for k in range(MAX_NAMES):
                lowest_score = np.float32(np.float64(raw[i, k]) - high_shift - ease)
                highest_score = np.float32(np.float64(max(raw[i, k], b)) - low_shift + ease)
                above_least += int(np.float64(lowest_score) >= threshold)
                above_most += int(np.float64(highest_score) >= threshold)
            if place[i] == STRANGER:
                if rule == _RULE_A:
                    above_least, above_most = min(above_least, 1), min(above_most, 1)
                least[i], most[i] = _reciprocal(above_most), _reciprocal(above_least)
                continue
            sure = place[i] < certain
            highest = place[i] if sure else certain
            lowest = place[i] if sure else MAX_NAMES
            # NEW stands before the right name if that scores below the threshold; rule A lets only the first outrun it
            new_before_at_best = above_most <= highest or (rule == _RULE_A and highest > 0)
            new_before_at_worst = above_least <= lowest or (rule == _RULE_A and lowest > 0)
            most[i] = _reciprocal(highest + new_before_at_best)
            least[i] = _reciprocal(lowest + new_before_at_worst)


@kernel(inline="always")
def _new_place(rule: int, threshold: float, score: np.ndarray, names: int) -> int:
    """Where somebody new stands, counted from 0; never behind an empty place."""
    if rule == _RULE_A:
        return min(names, 0 if np.float64(score[0]) < threshold else 1)
    at = 0
    for k in range(names):
        at += int(np.float64(score[k]) >= threshold)
    return at


@kernel()
def weighted_sums(
    weights: np.ndarray, precision: np.ndarray, least: np.ndarray, most: np.ndarray
) -> tuple[float, float, float, float]:
    """Weighted sums of precision, of its bounds, and the weight of those that the bounds leave open.

    Not numpy's products: their threads wait by spinning and take the core from the next trial.
    """
    total, low, high, still_open = 0.0, 0.0, 0.0, 0.0
    for i in range(weights.shape[0]):
        total += weights[i] * precision[i]
        low += weights[i] * least[i]
        high += weights[i] * most[i]
        if least[i] < most[i]:
            still_open += weights[i]
    return total, low, high, still_open
