"""The paired test: by hand, and what is sure where there is nothing to be sure of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cv.paired import ONE_ERROR, THREE_ERRORS, TWO_ERRORS, PairedTest, clearly_better


def test_equal_weights_by_hand() -> None:
    # mean 1/2, variance 1/4, so the mean of four has a standard error of 1/4: two of them
    test = PairedTest.of_photos(np.array([0.0, 1.0, 0.0, 1.0]))
    assert test.gain == 0.5
    assert test.sure == pytest.approx(norm.cdf(2.0))
    assert PairedTest.of_photos(np.array([0.0, -1.0, 0.0, -1.0])).sure == pytest.approx(norm.cdf(-2.0))


def test_weights_by_hand() -> None:
    # mean 0.4; squared error 0.4^2 x 0.6^2 + 2 x 0.3^2 x 0.4^2 = 0.0864
    test = PairedTest.of_photos(np.array([1.0, 0.0, 0.0]), np.array([0.4, 0.3, 0.3]))
    assert test.gain == pytest.approx(0.4)
    assert test.sure == pytest.approx(norm.cdf(0.4 / np.sqrt(0.0864)))
    # a photo without weight has no say
    more = PairedTest.of_photos(np.array([1.0, 0.0, 0.0, -9.0]), np.array([0.4, 0.3, 0.3, 0.0]))
    assert (more.gain, more.sure) == pytest.approx((test.gain, test.sure))
    # equal weights are those that are not given
    gain = np.random.default_rng(0).standard_normal(50)
    one, other = PairedTest.of_photos(gain), PairedTest.of_photos(gain, np.full(50, 0.02))
    assert (one.gain, one.sure) == pytest.approx((other.gain, other.sure))


@pytest.mark.parametrize("gain", [np.array([]), np.array([0.5, np.nan, 0.5]), np.array([np.nan])])
def test_without_photos_or_with_some_that_were_not_tried_nothing_is_sure(gain: np.ndarray) -> None:
    test = PairedTest.of_photos(gain)
    assert np.isnan(test.gain)
    assert test.sure == 0.0
    assert not clearly_better(test, ONE_ERROR)


@pytest.mark.parametrize(("gain", "sure"), [(0.25, 1.0), (0.0, 0.0), (-0.25, 0.0)])
@pytest.mark.parametrize("weights", [None, np.full(4, 0.25)])
def test_a_gain_without_any_error_is_sure_if_it_is_one(gain: float, sure: float, weights: np.ndarray | None) -> None:
    assert PairedTest.of_photos(np.full(4, gain), weights) == PairedTest(gain, sure)


def test_of_draws_it_is_the_share_with_a_gain() -> None:
    assert PairedTest.of_draws(0.1, np.array([0.2, 0.0, -0.1, 0.3])) == PairedTest(0.1, 0.5)
    assert PairedTest.of_draws(0.0, np.zeros(9)) == PairedTest(0.0, 0.0)


@pytest.mark.parametrize(("errors", "sure"), [(1, ONE_ERROR), (2, TWO_ERRORS), (3, THREE_ERRORS)])
def test_as_sure_as_so_many_standard_errors(errors: int, sure: float) -> None:
    assert sure == pytest.approx(norm.cdf(errors), abs=1e-15)
    # of 100 photos with a spread of 1 the mean has an error of a tenth
    spread = np.tile([1.0, -1.0], 50)
    for factor, expected in ((0.99, False), (1.01, True)):
        assert clearly_better(PairedTest.of_photos(spread + factor * errors / 10), sure) == expected
    assert clearly_better(PairedTest(0.1, sure), sure), "as sure as is asked for is enough"
