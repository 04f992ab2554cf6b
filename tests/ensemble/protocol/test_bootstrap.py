"""The bootstrap over individuals: against a literal loop over the same draws, and by what it must not depend on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ensemble.protocol.bootstrap import DRAWS, Bootstrap, interval_of, prediction_interval
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.scores import over_folds, per_species
from postproc import NEW


class World:
    """Photos of some individuals with random weights and precisions; some known ones play the stranger, too."""

    def __init__(self, n_individuals: int, photos_each: int, new: float, hidden: int = 0, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.labels = rng.permutation(np.repeat(np.arange(n_individuals), photos_each)).astype(np.int32)
        strangers = rng.permutation(n_individuals)[: round(new * n_individuals)]
        truth = np.where(np.isin(self.labels, strangers), NEW, self.labels)
        played = rng.permutation(np.flatnonzero(truth != NEW))[:hidden]
        weights = rng.uniform(0.5, 1.5, len(truth) + hidden)
        query_set = SimpleNamespace(truth=truth, catalogue=SimpleNamespace(labels=self.labels))
        rows = np.arange(len(truth))
        self.evaluation_set = EvaluationSet(
            query_set=query_set,  # type: ignore[arg-type]
            queries=rows,
            simulated_new=played,
            weights=weights / weights.sum(),
        )
        self.precisions = rng.choice([0.0, 0.2, 0.5, 1.0], (3, len(weights)))

    def bootstrap(self, seed: int = 0) -> Bootstrap:
        return Bootstrap(self.evaluation_set, seed)

    def literal(self, seed: int = 0) -> np.ndarray:
        """Draw by draw: as many individuals as there are, with replacement, each with all its photos."""
        owner = [*self.labels[self.evaluation_set.queries], *self.labels[self.evaluation_set.simulated_new]]
        n, rng = int(self.labels.max()) + 1, np.random.default_rng(seed)
        new = self.evaluation_set.truth == NEW
        share = self.evaluation_set.weights[new].sum()
        found = np.empty((DRAWS, len(self.precisions)))
        for draw in range(DRAWS):
            photos = [p for who in rng.integers(0, n, n) for p in np.flatnonzero(np.array(owner) == who)]
            for score, precision in enumerate(self.precisions):
                value = 0.0
                for kind, own_share in ((new, share), (~new, 1 - share)):
                    own = [p for p in photos if kind[p]] or np.flatnonzero(kind)
                    if own_share > 0:
                        value += own_share * np.average(precision[own], weights=self.evaluation_set.weights[own])
                found[draw, score] = value
        return found


@pytest.mark.parametrize(
    "world",
    [
        World(12, 3, new=0.25, hidden=10),
        World(9, 2, new=0.0),
        World(9, 2, new=1.0),
        # one stranger: more than a third of the draws are without it
        World(6, 1, new=0.17, seed=3),
    ],
    ids=["strangers, played ones, too", "no strangers", "strangers only", "one stranger"],
)
def test_it_is_the_literal_loop(world: World) -> None:
    np.testing.assert_allclose(world.bootstrap(5).draws(world.precisions), world.literal(5), atol=1e-12)


def test_groups_are_drawn_with_the_whole_and_each_as_if_it_were_the_whole() -> None:
    """A group's draws are those of an evaluation set that weighs its photos only."""
    world = World(15, 3, new=0.3, hidden=12)
    n = len(world.evaluation_set.weights)
    group = np.random.default_rng(1).integers(0, 4, n)
    group[group == 2] = 1
    found = world.bootstrap(3).grouped(world.precisions, group, 4)
    assert np.isnan(found[:, 2]).all()
    for one in (0, 1, 3):
        own = np.where(group == one, world.evaluation_set.weights, 0.0)
        alone = replace(world.evaluation_set, weights=own / own.sum())
        np.testing.assert_allclose(found[:, one], Bootstrap(alone, 3).draws(world.precisions), atol=1e-12)
    whole = world.bootstrap(3).grouped(world.precisions, np.zeros(n, dtype=int), 1)[:, 0]
    np.testing.assert_allclose(whole, world.bootstrap(3).draws(world.precisions), atol=1e-12)


def test_individuals_are_counted_where_they_have_weight() -> None:
    world = World(6, 2, new=0.0)
    group = np.where(world.labels < 4, 0, 2)
    assert world.bootstrap().individuals(group, 4).tolist() == [4, 0, 2, 0]
    world.evaluation_set.weights[world.labels == 1] = 0.0
    assert world.bootstrap().individuals(group, 4).tolist() == [3, 0, 2, 0]


def test_of_few_individuals_a_score_is_told_and_no_interval() -> None:
    """Every draw of a species of one individual scores the same: an interval of no width would look like certainty."""
    world = World(9, 2, new=0.0)
    group = np.where(world.labels < 5, 0, np.where(world.labels < 8, 1, 2))
    catalogue: Any = world.evaluation_set.catalogue
    catalogue.folds, catalogue.species = group, ["five", "three", "one"]
    catalogue.species_of_individual = np.repeat([0, 1, 2], [5, 3, 1])
    answers = np.zeros((len(world.labels), 5), dtype=np.int32)
    species = per_species(world.evaluation_set, world.precisions[0], answers)
    assert [row["interval"] is None for row in species] == [False, True, True]
    assert all(row["map5"] is not None for row in species)
    folds = over_folds(world.evaluation_set, world.precisions)
    assert [[ends is None for ends in row["interval"]] for row in folds] == [[False] * 3, [True] * 3, [True] * 3]


def test_the_share_of_strangers_is_held_in_every_draw() -> None:
    world = World(20, 2, new=0.3, hidden=9)
    new = world.evaluation_set.truth == NEW
    share = world.evaluation_set.weights[new].sum()
    draws = world.bootstrap().draws(np.stack([new.astype(float), np.ones(len(new)), np.zeros(len(new))]))
    np.testing.assert_allclose(draws, np.tile([share, 1.0, 0.0], (DRAWS, 1)), atol=1e-12)


def test_where_the_only_stranger_is_not_drawn_it_still_has_its_share() -> None:
    world = World(6, 1, new=0.17, seed=3)
    assert (world.evaluation_set.truth == NEW).sum() == 1
    assert world.bootstrap().interval(np.ones(6)) == pytest.approx([1.0, 1.0])


def test_scores_meet_the_same_draws_so_that_differences_are_paired() -> None:
    world = World(15, 2, new=0.2)
    one, two = world.precisions[0], np.minimum(world.precisions[0] + 0.1, 1.1)
    together = world.bootstrap().draws(np.stack([one, two]))
    np.testing.assert_allclose(together[:, 0], world.bootstrap().draws(one[None])[:, 0], atol=1e-12)
    # always 0.1 more, in every single draw
    np.testing.assert_allclose(interval_of(together[:, 1] - together[:, 0]), [0.1, 0.1], atol=1e-12)
    assert interval_of(together[:, 0] - together[:, 0]) == [0.0, 0.0]
    assert interval_of(together[:, 0])[1] - interval_of(together[:, 0])[0] > 0.1


def test_the_same_seed_gives_the_same_interval_and_another_one_hardly_another() -> None:
    world = World(40, 3, new=0.2)
    one, again, other = (world.bootstrap(seed).interval(world.precisions[0]) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    np.testing.assert_allclose(one, other, atol=0.03)
    score = float(world.evaluation_set.weights @ world.precisions[0])
    assert one[0] < score < one[1]


@pytest.mark.parametrize("photos_each", [1, 8])
def test_photos_of_one_animal_are_one_observation(photos_each: int) -> None:
    """Known animals alone, each with all photos right or all wrong: the error is that of counting animals."""
    n = 100
    labels = np.repeat(np.arange(n), photos_each).astype(np.int32)
    query_set = SimpleNamespace(truth=labels, catalogue=SimpleNamespace(labels=labels))
    weights = np.full(len(labels), 1 / len(labels))
    evaluation_set = EvaluationSet(
        query_set=query_set,  # type: ignore[arg-type]
        queries=np.arange(len(labels)),
        simulated_new=np.empty(0, int),
        weights=weights,
    )
    right = (labels % 2).astype(float)
    draws = Bootstrap(evaluation_set).draws(right[None])[:, 0]
    assert draws.std() == pytest.approx(np.sqrt(0.25 / n), rel=0.1)
    assert interval_of(draws) == pytest.approx([0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05], abs=0.02)


def test_a_test_has_an_error_of_its_own() -> None:
    draws = np.random.default_rng(0).normal(0.6, 0.02, 100_000)
    equal = np.full(50, 0.02)
    # as many photos as out-of-fold: the variance is twice that of the estimate
    low, high = prediction_interval(0.6, draws, equal, 50)
    assert (high - 0.6) / (1.96 * 0.02) == pytest.approx(np.sqrt(2), rel=0.01)
    assert 0.6 - low == pytest.approx(high - 0.6)
    # of endless tests only the error of the estimate is left, and it is that of the interval
    endless = prediction_interval(0.6, draws, equal, 10**9)
    assert endless == pytest.approx(interval_of(draws), abs=1e-3)
    assert low < endless[0] < endless[1] < high
    # weights that count a few photos only: 10 of 50, so a test of 50 adds a fifth
    few = np.repeat([0.1, 0.0], [10, 40])
    assert prediction_interval(0.6, draws, few, 50)[1] - 0.6 == pytest.approx(1.96 * 0.02 * np.sqrt(1.2), rel=0.01)
    assert prediction_interval(0.99, draws, equal, 50)[1] == 1.0
    assert prediction_interval(0.01, draws, equal, 50)[0] == 0.0
    assert prediction_interval(0.6, draws, equal, 0)[0] < low
