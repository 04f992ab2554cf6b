"""Greedy forward selection with replacement: by hand, and against the literal algorithm on a real evaluation set."""

from __future__ import annotations

from fractions import Fraction

import pytest
from planted import Score, Told, add
from small import Small

from cv import Mix
from ensemble import Blend, Project, init
from ensemble.protocol.setup import Setup, read_setup
from ensemble.tuning.greedy import BACKGROUND, forward_selection

NAMES = ["m0", "m1", "m2"]


def selected(score: Score, names: list[str]) -> tuple[dict[str, float], float, list[Blend]]:
    told = Told(score)
    weights, reached = forward_selection(told, names, dict.fromkeys(names, "total"))  # type: ignore[arg-type]
    return weights, reached, told.asked


def test_by_hand_two_parts_of_a_and_one_of_b() -> None:
    """Best is 2/3 and 1/3. a comes first and, as half of b would hurt, comes again; then b; three rounds in vain."""
    score = {(3, 0): 0.6, (0, 3): 0.5, (2, 1): 0.9, (1, 2): 0.3}

    def told(weights: dict[str, float]) -> float:
        thirds = tuple(round(3 * weights[name], 6) for name in "ab")
        return score.get(thirds, 0.55)  # type: ignore[arg-type]

    weights, reached, asked = selected(told, ["a", "b"])
    assert reached == 0.9
    assert weights == {"a": 2 / 3, "b": 1 / 3}
    # six rounds; what was scored in one is not asked again
    assert [blend.weights for blend in asked] == [
        {"a": 1.0, "b": 0.0},
        {"a": 0.0, "b": 1.0},
        {"a": 0.5, "b": 0.5},
        {"a": 2 / 3, "b": 1 / 3},
        {"a": 3 / 4, "b": 1 / 4},
        {"a": 4 / 5, "b": 1 / 5},
        {"a": 3 / 5, "b": 2 / 5},
        {"a": 5 / 6, "b": 1 / 6},
    ]
    assert {blend.background for blend in asked} == {BACKGROUND}
    assert all(blend.whitening == {"a": "total", "b": "total"} for blend in asked)


def test_one_model_is_selected_at_once() -> None:
    weights, reached, asked = selected(lambda weights: weights["a"] * 0.7, ["a"])
    assert (weights, reached, len(asked)) == ({"a": 1.0}, 0.7, 1)


def test_a_model_that_only_ever_hurts_gets_nothing() -> None:
    weights, _, _ = selected(lambda weights: weights["a"] + 0.9 * weights["b"] - weights["c"], ["c", "b", "a"])
    assert weights == {"a": 1.0, "b": 0.0, "c": 0.0}


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("greedy")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(NAMES):
        add(folder / "P", small, name, seed + 1, noise=2.5 + 0.5 * seed)
    return read_setup(Project.open(folder / "P"), Mix(0.15))


def run(setup: Setup, weights: dict[str, float]) -> float:
    return setup.evaluation_set.decided(Blend(weights, dict(setup.whitening), background=BACKGROUND))[1].map5


def literal(setup: Setup, rounds: int) -> list[tuple[float, dict[str, int]]]:
    """Each round's best, with all models tried in every round."""
    counts: dict[str, int] = dict.fromkeys(NAMES, 0)
    told = []
    for size in range(1, rounds + 1):
        tried = []
        for name in NAMES:
            grown = {other: counts[other] + (other == name) for other in NAMES}
            tried.append((run(setup, {other: count / size for other, count in grown.items()}), grown))
        best = max(tried, key=lambda one: one[0])
        counts = best[1]
        told.append(best)
    return told


def test_it_is_the_literal_algorithm(setup: Setup) -> None:
    weights, reached = forward_selection(setup.evaluation_set, NAMES, setup.whitening)
    rounds = literal(setup, 2 * len(NAMES) + 6)
    scores = [score for score, _ in rounds]
    # it gives up after more rounds in vain than there are models
    best = next(n for n in range(len(rounds)) if scores[n] == max(scores[: n + len(NAMES) + 2]))
    assert reached == scores[best]
    assert weights == {name: count / (best + 1) for name, count in rounds[best][1].items()}
    assert best > 0, "more than one model"


def test_never_below_the_best_model_alone_and_weights_are_counts(setup: Setup) -> None:
    weights, reached = forward_selection(setup.evaluation_set, NAMES, setup.whitening)
    assert reached >= max(run(setup, {name: 1.0}) for name in NAMES)
    assert reached == pytest.approx(run(setup, weights))
    assert sum(weights.values()) == pytest.approx(1.0)
    tasks = [Fraction(weight).limit_denominator(50) for weight in weights.values()]
    assert sum(tasks) == 1
    assert max(task.denominator for task in tasks) <= 2 * len(NAMES) + 6
