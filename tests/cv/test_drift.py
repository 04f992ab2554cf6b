"""Drift of individuals' counts by pseudo-labels."""

from __future__ import annotations

import numpy as np
import pytest

from cv.drift import drift

NAMES = [f"i{k:02d}" for k in range(20)]
# two individuals are the most photographed tenth
PHOTOS = np.array([10, 6] + [1] * 16 + [4, 4])


def test_worked_by_hand() -> None:
    added = np.zeros(20, dtype=np.int64)
    added[[0, 1, 5, 18]] = [3, 3, 2, 4]
    found = drift(NAMES, PHOTOS, added, 0.5)
    assert found["individuals"] == 4
    assert found["top_share"] == pytest.approx(6 / 12)
    assert found["top_train"] == pytest.approx(16 / 40)
    roots = np.sqrt(PHOTOS)
    assert found["top_expected"] == pytest.approx((10**0.5 + 6**0.5) / roots.sum())
    # four photos more for who had four is no more than double
    assert found["doubled"] == 1
    assert found["most_grown"] == {"individual_id": "i05", "train": 1, "pseudo": 2}


def test_in_the_mix_that_is_expected_nothing_drifts() -> None:
    found = drift(NAMES, PHOTOS, PHOTOS, None)
    assert found["top_share"] == found["top_expected"] == found["top_train"]
    assert found["doubled"] == 0


def test_nobody_named_and_individuals_without_photos() -> None:
    found = drift(["a", "b", "c"], np.array([3, 0, 0]), np.zeros(3, dtype=np.int64), 0.0)
    assert (found["top_share"], found["most_grown"], found["top_expected"]) == (None, None, 1.0)
