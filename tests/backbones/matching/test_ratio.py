from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.matching import Matcher, Matches, RatioMatcher
from backbones.testing import MatcherContract
from cv.errors import FinblendError


class TestRatioMatcherKeepsTheContract(MatcherContract):
    @pytest.fixture
    def matcher(self) -> Matcher:
        return RatioMatcher(0.8)


def drawn(rows: int, dimensions: int, seed: int) -> SimpleNamespace:
    descriptors = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return SimpleNamespace(
        descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float32)
    )


def literal(query: np.ndarray, gallery: np.ndarray, ratio: float) -> dict[tuple[int, int], float]:
    """Lowe's test as it is told, distance by distance."""
    distances = [[float(np.linalg.norm(a.astype(float) - b)) for b in gallery] for a in query]
    answer = {}
    for i, row in enumerate(distances):
        for j, distance in enumerate(row):
            others = [row[k] for k in range(len(row)) if k != j], [distances[k][j] for k in range(len(query)) if k != i]
            if not all(others):
                continue
            nearest_other = min(map(min, others))
            if distance < ratio * nearest_other:
                answer[i, j] = 1 - distance / nearest_other
    return answer


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    dimensions=st.integers(6, 12),
    noise=st.floats(0.05, 1),
    ratio=st.floats(0.3, 1.0),
    seed=st.integers(0, 10**6),
)
def test_it_is_the_literal_test_of_all_distances(
    rows: int, columns: int, dimensions: int, noise: float, ratio: float, seed: int
) -> None:
    query, gallery = drawn(rows, dimensions, seed), drawn(columns, dimensions, seed + 1)
    shared = min(rows, columns) // 2
    gallery.descriptors[:shared] = query.descriptors[:shared] + noise * gallery.descriptors[:shared]
    gallery.descriptors /= np.linalg.norm(gallery.descriptors, axis=1, keepdims=True)
    matches = RatioMatcher(ratio).match(query, gallery)
    wanted = literal(query.descriptors, gallery.descriptors, ratio)
    got = {(i, j): c for (i, j), c in zip(matches.pairs.tolist(), matches.confidence.tolist(), strict=True)}
    # on the edge of the test, float32 may fall on either side
    for pair in wanted.keys() ^ got.keys():
        assert {**wanted, **got}[pair] == pytest.approx(1 - ratio, abs=1e-3)
    for pair in wanted.keys() & got.keys():
        assert got[pair] == pytest.approx(wanted[pair], abs=1e-3)


def test_confidence_worked_by_hand() -> None:
    at = np.deg2rad([0, 90])
    query = SimpleNamespace(descriptors=np.column_stack([np.cos(at), np.sin(at)]).astype(np.float32))
    at = np.deg2rad([80, 20])
    gallery = SimpleNamespace(descriptors=np.column_stack([np.cos(at), np.sin(at)]).astype(np.float32))
    matches = RatioMatcher(0.5).match(query, gallery)
    assert matches.pairs.tolist() == [[1, 0], [0, 1]]
    # chords of a circle are 2 sin(half the angle); the next best is 70 degrees off for both
    chord = np.sin(np.deg2rad(np.array([10, 20, 70]) / 2))
    assert matches.confidence.tolist() == pytest.approx([1 - chord[0] / chord[2], 1 - chord[1] / chord[2]], abs=1e-4)


def test_a_keypoint_seen_twice_matches_neither() -> None:
    query, gallery = drawn(6, 16, 0), drawn(6, 16, 1)
    gallery.descriptors[2] = gallery.descriptors[4] = query.descriptors[3]
    assert 3 not in RatioMatcher(1.0).match(query, gallery).pairs[:, 0]


def test_a_lower_ratio_keeps_the_surest_pairs() -> None:
    query, gallery = drawn(200, 16, 2), drawn(200, 16, 3)
    many, few = RatioMatcher(1.0).match(query, gallery), RatioMatcher(0.9).match(query, gallery)
    assert 0 < len(few) < len(many)
    assert few.pairs.tolist() == many.pairs[many.confidence > 0.1].tolist()


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.01, float("nan")])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(FinblendError, match="0 < ratio <= 1"):
        RatioMatcher(ratio)


def test_descriptors_of_two_kinds_are_refused() -> None:
    with pytest.raises(FinblendError, match="descriptors of 16 and 8 numbers"):
        RatioMatcher().match(drawn(3, 16, 0), drawn(3, 8, 0))


def test_fingerprints_tell_ratios_apart() -> None:
    assert RatioMatcher(0.8).fingerprint == "ratio-0.8"
    assert RatioMatcher(0.85).fingerprint == "ratio-0.85"


@pytest.mark.parametrize(
    ("pairs", "confidence", "rule"),
    [
        ([[0, 1], [0, 2]], [0.9, 0.8], "at most once"),
        ([[0, 1], [2, 1]], [0.9, 0.8], "at most once"),
        ([[0, -1]], [0.9], "index >= 0"),
        ([[0, 1], [1, 2]], [0.8, 0.9], "falling"),
        ([[0, 1]], [1.1], r"in \[0, 1\]"),
        ([[0, 1]], [float("nan")], r"in \[0, 1\]"),
        ([[0, 1, 2]], [0.5], "pairs must be"),
        ([[0, 1]], [0.5, 0.4], "confidence must be"),
    ],
)
def test_matches_that_break_a_rule_are_refused(pairs: list, confidence: list, rule: str) -> None:
    with pytest.raises(FinblendError, match=rule):
        Matches(np.array(pairs, np.int32), np.array(confidence, np.float32))
