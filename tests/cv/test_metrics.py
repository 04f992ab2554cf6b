"""MAP@5 against a table worked by hand and against the definition on Kaggle's evaluation page, written out slowly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, average_precision, map5
from cv.metrics import MAX_NAMES, average_precisions

# (ranked names, right name, score)
BY_HAND = [
    (["a", "b", "c", "d", "e"], "a", 1.0),
    (["a", "b", "c", "d", "e"], "b", 1 / 2),
    (["a", "b", "c", "d", "e"], "c", 1 / 3),
    (["a", "b", "c", "d", "e"], "d", 1 / 4),
    (["a", "b", "c", "d", "e"], "e", 1 / 5),
    (["a", "b", "c", "d", "e"], "f", 0.0),
    (["a", "b", "c", "d", "e", "f"], "f", 0.0),  # the sixth name does not count
    (["a", "a", "b"], "b", 1 / 3),  # a repeat takes up a place
    (["b", "a", "b"], "b", 1.0),  # and only the first occurrence counts
    (["new_individual"], "new_individual", 1.0),
    ([], "a", 0.0),
]

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "new_individual"])
LISTS = st.lists(NAMES, max_size=8)


def kaggle_apk(actual: Sequence[str], predicted: Sequence[str], k: int = 5) -> float:
    """Average precision at k: the sum of precision(i) * relevant(i) over places i <= min(n, k), over min(m, k)."""
    score, hits = 0.0, 0.0
    for i in range(min(len(predicted), k)):
        if predicted[i] in actual and predicted[i] not in predicted[:i]:
            hits += 1.0
            score += hits / (i + 1.0)
    return score / min(len(actual), k)


@pytest.mark.parametrize(("names", "truth", "score"), BY_HAND)
def test_average_precision_equals_the_table_worked_by_hand(names: list[str], truth: str, score: float) -> None:
    assert average_precision(names, truth) == score


def test_the_mean_of_the_hand_worked_table_is_its_map5() -> None:
    # 1 + 1/2 + 1/3 + 1/4 + 1/5 + 0 + 0 + 1/3 + 1 + 1 + 0 = 277/60, over 11 photos
    names, truth = [row[0] for row in BY_HAND], [row[1] for row in BY_HAND]
    assert map5(names, truth) == pytest.approx(277 / 60 / 11, abs=1e-15)


@given(names=LISTS, truth=NAMES)
def test_average_precision_equals_kaggles_definition(names: list[str], truth: str) -> None:
    assert average_precision(names, truth) == pytest.approx(kaggle_apk([truth], names), abs=1e-15)


@given(
    lists=st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=12),
    truth_seed=st.integers(0, 10_000),
)
def test_average_precisions_of_padded_rows_equals_kaggles_definition(lists: list[list[int]], truth_seed: int) -> None:
    truth = np.random.default_rng(truth_seed).integers(0, 7, len(lists))
    width = max(len(names) for names in lists)
    padded = np.full((len(lists), width), -1)
    for row, names in enumerate(lists):
        padded[row, : len(names)] = names
    expected = [
        kaggle_apk([str(t)], [str(name) for name in names]) for names, t in zip(lists, truth.tolist(), strict=True)
    ]
    assert average_precisions(padded, truth) == pytest.approx(expected, abs=1e-15)


@given(
    photos=st.lists(st.tuples(LISTS, NAMES, st.integers(0, 5)), min_size=1, max_size=12).filter(
        lambda photos: any(weight for _, _, weight in photos)
    )
)
def test_weighted_map5_counts_a_photo_of_weight_w_as_w_photos(photos: list[tuple[list[str], str, int]]) -> None:
    repeated = [(names, truth) for names, truth, weight in photos for _ in range(weight)]
    expected = sum(kaggle_apk([truth], names) for names, truth in repeated) / len(repeated)
    got = map5([p[0] for p in photos], [p[1] for p in photos], weights=[p[2] for p in photos])
    assert got == pytest.approx(expected, abs=1e-14)


@given(photos=st.lists(st.tuples(LISTS, NAMES), min_size=1, max_size=12))
def test_equal_weights_change_nothing(photos: list[tuple[list[str], str]]) -> None:
    predicted, truth = [p[0] for p in photos], [p[1] for p in photos]
    plain = map5(predicted, truth)
    assert plain == pytest.approx(sum(kaggle_apk([t], names) for names, t in photos) / len(photos), abs=1e-14)
    assert map5(predicted, truth, weights=[0.3] * len(photos)) == pytest.approx(plain, abs=1e-14)


def test_average_precisions_ignores_columns_after_the_fifth() -> None:
    row = np.array([[1, 2, 3, 4, 5, 9]])
    assert MAX_NAMES == 5
    assert average_precisions(row, np.array([9])).tolist() == [0.0]
    assert average_precisions(row, np.array([5])).tolist() == [0.2]


@pytest.mark.parametrize(("predicted", "truth"), [([], []), ([["a"]], ["a", "b"]), ([["a"], ["b"]], ["a"])])
def test_map5_refuses_no_photos_and_unequal_lengths(predicted: list[list[str]], truth: list[str]) -> None:
    with pytest.raises(FinblendError, match=rf"got {len(predicted)} and {len(truth)}"):
        map5(predicted, truth)


@pytest.mark.parametrize("weights", [[2.0, -1.0], [1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_map5_refuses_weights_that_are_no_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        map5([["a"], ["b"]], ["a", "a"], weights=weights)
