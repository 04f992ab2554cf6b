"""Public recipes as the benchmark re-states them, worked by hand; its bootstrap and its reliability tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

# behind the installed packages
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.accuracy import paired, public_recipes, reliability
from benchmarks.accuracy.public_recipes import NEW, NOBODY, Material, Ranked

INF = np.inf


def test_best_photo_per_individual_and_nobody_without_photos() -> None:
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    scores = public_recipes.best_photos(np.array([[0.8, 0.6]], dtype=np.float32), gallery, np.array([2, 0, 2]), 4)
    assert scores[0].tolist() == pytest.approx([0.6, -INF, 0.96, -INF])


def test_out_of_fold_an_individual_is_compared_with_the_other_folds_only() -> None:
    train = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    material = Material([train], [train], np.array([0, 0, 1]), np.array([0, 1, 1]), 0.1)
    own, test = public_recipes.scores_of(train, train, material)
    # photo 0 meets fold 1, photos 1 and 2 meet fold 0, where individual 1 has no photo
    assert own.tolist() == [[1.0, 0.0], [1.0, -INF], [0.0, -INF]]
    assert test.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert public_recipes.truth_of(material.labels, material.folds).tolist() == [0, 0, NEW]


def test_ranked_puts_the_best_first_and_marks_where_nobody_is_left() -> None:
    found = public_recipes.ranked(np.array([[0.2, -INF, 0.9]]))
    assert found.label.tolist() == [[2, 0, NOBODY]]
    assert found.score.tolist() == [[0.9, 0.2, -INF]]


def test_hiding_moves_up_those_behind() -> None:
    found = Ranked(np.array([[4, 7, 2], [1, 3, 5]]), np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]))
    hidden = found.hiding(np.array([7, 9]))
    # nobody is called 9: the last place goes
    assert hidden.label.tolist() == [[4, 2], [1, 3]]
    assert hidden.score.tolist() == [[0.9, 0.7], [0.6, 0.5]]


def five(*scores: float) -> Ranked:
    return Ranked(np.array([[10, 11, 12, 13, 14]]), np.array([scores]))


@pytest.mark.parametrize(
    ("rule", "threshold", "wanted"),
    [
        ("A", 0.9, [10, NEW, 11, 12, 13]),
        ("A", 0.91, [NEW, 10, 11, 12, 13]),
        ("B", 0.65, [10, 11, 12, NEW, 13]),
        ("B", 0.7, [10, 11, 12, NEW, 13]),
        ("B", 0.95, [NEW, 10, 11, 12, 13]),
        ("B", 0.1, [10, 11, 12, 13, 14]),
    ],
)
def test_rules_place_somebody_new(rule: str, threshold: float, wanted: list[int]) -> None:
    assert public_recipes.lists(five(0.9, 0.8, 0.7, 0.6, 0.5), rule, threshold)[0].tolist() == wanted


def test_somebody_new_stands_before_empty_places() -> None:
    short = Ranked(np.array([[3, NOBODY, NOBODY, NOBODY, NOBODY]]), np.array([[0.5, -INF, -INF, -INF, -INF]]))
    assert public_recipes.lists(short, "B", -INF)[0].tolist() == [3, NEW, NOBODY, NOBODY, NOBODY]


def test_precision_is_one_over_the_place() -> None:
    found = np.array([[4, NEW, 5, 6, 7]] * 4)
    assert public_recipes.precisions(found, np.array([4, NEW, 7, 9])).tolist() == [1.0, 0.5, 0.2, 0.0]


def test_weights_give_strangers_the_share() -> None:
    assert public_recipes.share_weights(np.array([True, False, False, False]), 0.1).tolist() == pytest.approx(
        [0.1, 0.3, 0.3, 0.3]
    )


def test_threshold_of_the_share_lets_that_share_begin_with_new() -> None:
    best = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    threshold = public_recipes.share_threshold(best, np.ones(5), 0.4)
    assert (best < threshold).tolist() == [False, True, False, True, False]
    # a weight of 0.5 on the lowest is too much for a share of 0.4
    assert public_recipes.share_threshold(best, np.array([1, 4, 1, 1, 1.0]), 0.4) == 0.1


def test_grid_finds_the_threshold_between_strangers_and_known() -> None:
    label = np.tile([0, 1, 2, 3, 4], (4, 1))
    score = np.array([0.2, 0.3, 0.6, 0.8])[:, None] - np.arange(5) / 100
    truth = np.array([NEW, NEW, 0, 0])
    threshold = public_recipes.grid_threshold(Ranked(label, score), truth, np.full(4, 0.25), "A")
    assert 0.3 < threshold <= 0.6


@given(st.integers(0, 2**32 - 1), st.sampled_from("AB"))
def test_the_short_way_to_a_score_is_the_long_way(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (6, 7)) / 8.0
    scores[rng.random(scores.shape) < 0.4] = -INF
    found, truth = public_recipes.ranked(scores), rng.integers(-1, 7, 6)
    truth[truth < 0] = NEW
    threshold = float(rng.integers(0, 9) / 8.0)
    long = public_recipes.precisions(public_recipes.lists(found, rule, threshold), truth)
    assert public_recipes._at(found, truth, rule, threshold).tolist() == long.tolist()


def material_of_two_kinds(n: int = 60, seed: int = 0) -> Material:
    """Ten individuals in two models; the last two have one photo each; test shows each once, and two strangers."""
    rng = np.random.default_rng(seed)
    labels = np.append(np.repeat(np.arange(8), n // 8), [8, 9])
    looks = 3 * rng.standard_normal((12, 24))
    mixing = [rng.standard_normal((24, width)) for width in (16, 20)]
    train = [(looks[labels] + rng.standard_normal((len(labels), 24))) @ m for m in mixing]
    test = [(looks + rng.standard_normal(looks.shape)) @ m for m in mixing]
    return Material(train, test, labels, np.arange(len(labels)) % 5, 2 / 12)


@pytest.mark.parametrize("name", public_recipes.NAMES)
def test_recipes_name_who_is_easily_told_apart(name: str) -> None:
    material = material_of_two_kinds()
    truth = np.append(np.arange(10), [NEW, NEW])
    found = public_recipes.answers(public_recipes.recipe(name, material), material)
    assert public_recipes.precisions(found, truth).mean() > 0.9
    for row in found.tolist():
        assert len(set(row)) == 5


def test_concat_is_the_mean_of_cosines_before_the_best_photo_is_taken() -> None:
    material = material_of_two_kinds()
    cosines = [
        public_recipes.unit(a) @ public_recipes.unit(b).T for a, b in zip(material.test, material.train, strict=True)
    ]
    mean = np.mean(cosines, axis=0)
    best = np.array([[row[material.labels == k].max() for k in range(10)] for row in mean])
    test = public_recipes.recipe("concat", material).test
    assert np.allclose(test.score, -np.sort(-best, axis=1)[:, :6], atol=1e-6)
    assert (test.label == np.argsort(-best, axis=1)[:, :6]).all()


def test_mean_recipe_lets_the_share_of_test_begin_with_new() -> None:
    material = material_of_two_kinds()
    found = public_recipes.answers(public_recipes.recipe("mean", material), material)
    assert (found[:, 0] == NEW).sum() == 2


def test_isotonic_is_the_share_of_right_pairs_and_leaves_out_the_own_fold() -> None:
    # two individuals; scores 0.2 and 0.4 are wrong once and right once: one step of a half
    labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    own = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.4], [0.2, 0.4]])
    cross, test = public_recipes.calibrated(own, np.array([[0.3, 0.9]]), labels, folds, np.full(4, 0.25))
    # fold 0 is told by fold 1 alone: 0.2 and 0.4 are right half of the time each, and so is everything beyond
    assert cross[:2].ravel().tolist() == pytest.approx([0.5] * 4)
    # fold 1 by fold 0: 0.1 always wrong, 0.9 always right, a straight line between
    assert cross[2:].tolist() == pytest.approx(np.array([[0.125, 0.375]] * 2))
    assert test[0].tolist() == pytest.approx([0.5, 1.0])


def test_each_fold_is_scored_at_the_threshold_of_the_others() -> None:
    label = np.tile([0, 1, 2, 3, 4, 5], (4, 1))
    score = np.array([0.2, 0.6, 0.4, 0.8])[:, None] - np.arange(6) / 100
    ranked = Ranked(label, score)
    # in fold 0 the stranger (individual 6 is in its fold only) has 0.2, in fold 1 (individual 7) 0.4
    labels, folds = np.array([6, 0, 7, 0, 1, 2, 3, 4, 5]), np.array([0, 0, 1, 1, 0, 0, 0, 0, 0])
    material = Material([], [], labels, folds, 0.5)
    fitted = public_recipes.Fitted(ranked, ranked, "A")
    found = public_recipes.nested_precisions(fitted, material, np.arange(4), np.array([1]), np.full(5, 0.2))
    # fold 0 at fold 1's threshold, in (0.4, 0.8]: the grid's lowest is just above 0.4, so the stranger at 0.2 and the
    # known one at 0.6 are right, and with that one's individual hidden 0.59 is not taken for somebody new;
    # fold 1 at fold 0's, in (0.59, 0.6]: both are right
    assert found.tolist() == [1.0, 1.0, 1.0, 1.0, 0.5]
    # at one threshold for all, the hidden one would be right too: every photo of either fold lies outside (0.59, 0.6]
    assert (
        public_recipes.grid_threshold(found_of_all(ranked), np.array([NEW, 0, NEW, 0, NEW]), np.full(5, 0.2), "A")
        > 0.59
    )


def found_of_all(found: Ranked) -> Ranked:
    """Four photos and the second again without its first name."""
    again = found.take(np.array([1])).hiding(np.array([0]))
    return Ranked(np.vstack([found.label[:, :5], again.label]), np.vstack([found.score[:, :5], again.score]))


def test_photos_of_one_individual_are_drawn_together_and_strangers_alone() -> None:
    owner = paired.owners(["b", "new_individual", "b", "new_individual", "a"])
    assert owner[0] == owner[2]
    assert len(set(owner.tolist())) == 4


def test_a_gain_that_all_photos_share_has_no_spread_and_one_of_few_individuals_much() -> None:
    owner = np.repeat(np.arange(4), 25)
    assert paired.middle(paired.drawn_means(np.full(100, 0.25), owner)) == [0.25, 0.25]
    # one of four individuals gains 1: k of four draws have it with the binomial's probability
    draws = paired.drawn_means((owner == 0).astype(float), owner)
    assert set(draws.tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert draws.mean() == pytest.approx(0.25, abs=0.02)
    assert (draws == 0).mean() == pytest.approx(0.75**4, abs=0.03)


def test_reliability_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    header = ["image", "band", *(f"{what}_{k}" for k in range(1, 6) for what in ("name", "probability", "photo"))]
    empty = [""] * 9
    rows = [
        ["1.jpg", "auto", "a", "0.95", "x", "new_individual", "0.03", "", *empty],
        ["2.jpg", "review", "new_individual", "0.6", "", "b", "0.35", "y", *empty],
        ["3.jpg", "review", "b", "0.91", "y", "", "", "", *empty],
    ]
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    outcomes = reliability.outcomes(path, ["a", "new_individual", "c"])
    same, new = outcomes["first name"], outcomes["somebody new"]
    assert same[0].tolist() == [0.95, 0.35, 0.91]
    assert same[1].tolist() == [True, False, False]
    assert new[0].tolist() == [0.03, 0.6, 0.0]
    assert new[1].tolist() == [False, True, False]
    bins = reliability.bins(*same)
    assert bins == [
        {"low": 0.3, "photos": 1, "probability": 0.35, "right": 0.0},
        {"low": 0.9, "photos": 2, "probability": pytest.approx(0.93), "right": 0.5},
    ]
    # (1 x 0.35 + 2 x 0.43) / 3
    assert reliability.calibration_error(bins) == pytest.approx(1.21 / 3)
    assert "| 0.9 | 4 | 0.930 | 0.500 |" in reliability.page([outcomes, outcomes])


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    assert reliability.bins(np.array([1.0]), np.array([True]))[0]["low"] == 0.9
