"""Local features refuse what they cannot be, and are taken apart in order."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.local_features import LocalFeatures
from cv import FinblendError


def features(n: int = 3, width: int = 4) -> LocalFeatures:
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, width))
    places = np.column_stack([np.arange(n), np.arange(n) * 2, np.full(n, 3), np.full(n, -1)])
    scores = np.sort(rng.uniform(size=n))[::-1]
    return LocalFeatures.strongest(places, rows / np.linalg.norm(rows, axis=1, keepdims=True), scores, n)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"keypoints": np.zeros((3, 3), np.float32)}, r"\(3, 3\), \(3, 4\) and \(3,\)"),
        ({"scores": np.zeros(2, np.float32)}, r"scores \(n,\)"),
        ({"keypoints": np.full((3, 4), np.nan, np.float32)}, "keypoints hold a number that is not finite"),
        ({"scores": np.zeros(3)}, "scores must be float32, but got float64"),
        ({"descriptors": np.ones((3, 4), np.float32)}, "length 1, but row 0 has 2"),
        ({"scores": np.float32([1, 2, 3])}, "the strongest first"),
    ],
)
def test_what_breaks_a_rule_is_refused_in_one_line(change: dict[str, np.ndarray], told: str) -> None:
    parts = {name: getattr(features(), name) for name in ("keypoints", "descriptors", "scores")}
    with pytest.raises(FinblendError, match=told) as caught:
        LocalFeatures(**(parts | change))
    assert "\n" not in str(caught.value)


def test_some_are_taken_and_the_rest_left() -> None:
    all_of_them = features(5)
    assert all_of_them.take(np.array([0, 3])).keypoints[:, 0].tolist() == [0, 3]
    assert all_of_them.take(np.arange(5) > 2).keypoints[:, 0].tolist() == [3, 4]
    # places are (0, 0), (1, 2), (2, 4), (3, 6), (4, 8)
    assert all_of_them.inside((1, 0, 3, 5)).keypoints[:, 0].tolist() == [1, 2]
    assert len(all_of_them.inside((9, 9, 10, 10))) == 0
    assert len(LocalFeatures.none(7)) == 0
    assert LocalFeatures.none(7).width == 7


def test_the_strongest_are_kept_equals_in_order() -> None:
    places = np.column_stack([np.arange(4), np.zeros((4, 3))])
    kept = LocalFeatures.strongest(places, np.eye(4), np.array([0.1, 0.5, 0.5, 0.2]), 3)
    assert kept.keypoints[:, 0].tolist() == [1, 2, 3]
    assert kept.descriptors.dtype == np.float32
