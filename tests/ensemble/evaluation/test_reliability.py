"""Reliability diagrams: bins of equal weight, by hand; intervals that know how few individuals there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.evaluation.reliability import reliability, wilson
from postproc.calibration.calibration import calibration_error


def test_bins_by_hand() -> None:
    probability = np.array([0.9, 0.1, 0.2, 0.8])
    right = np.array([True, False, True, False])
    weights = np.array([1.0, 2.0, 1.0, 2.0])
    low, high = reliability(probability, right, weights, np.arange(4), bins=2)
    assert (low.share, low.probability, low.right) == pytest.approx((0.5, (0.2 + 0.2) / 3, 1 / 3))
    assert (high.share, high.probability, high.right) == pytest.approx((0.5, (1.6 + 0.9) / 3, 1 / 3))


def test_wilson_by_hand() -> None:
    # 8 of 10: the middle is (0.8 + z^2 / 20) / (1 + z^2 / 10)
    low, high = wilson(0.8, 10)
    assert (low + high) / 2 == pytest.approx((0.8 + 3.8415 / 20) / (1 + 3.8415 / 10), abs=1e-4)
    # both ends lie 1.96 standard errors from what was found, by their own standard error
    for end in (low, high):
        assert abs(0.8 - end) == pytest.approx(1.96 * np.sqrt(end * (1 - end) / 10), abs=1e-4)
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)
    assert wilson(0.0, 10)[0] == pytest.approx(0.0)


def test_photos_of_one_individual_count_once() -> None:
    probability, right, weights = np.full(40, 0.5), np.arange(40) % 2 == 0, np.ones(40)
    [each] = reliability(probability, right, weights, np.arange(40))
    [pairs] = reliability(probability, right, weights, np.arange(40) // 2)
    [alone] = reliability(probability[:20], right[:20], weights[:20], np.arange(20))
    assert pairs.high - pairs.low > each.high - each.low
    assert (pairs.low, pairs.high) == pytest.approx((alone.low, alone.high))


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), steps=st.sampled_from([2, 5, 1000]))
def test_bins_hold_everything_once_and_give_the_calibration_error(seed: int, n: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    probability, right = rng.integers(0, steps + 1, n) / steps, rng.random(n) < 0.5
    weights = rng.random(n) * (rng.random(n) < 0.8)
    weights[0] += 0.1
    found = reliability(probability, right, weights, rng.integers(0, 9, n), bins=15)
    assert sum(one.share for one in found) == pytest.approx(1.0)
    told = [one.probability for one in found]
    assert told == sorted(told)
    assert all(0 <= one.low <= one.right + 1e-12 and one.right - 1e-12 <= one.high <= 1 for one in found)
    gap = sum(one.share * abs(one.probability - one.right) for one in found)
    assert gap == pytest.approx(calibration_error(probability, right, weights), abs=1e-9)
