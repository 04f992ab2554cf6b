"""Weights per species are found where they are true, help on photos they were not chosen on, and stay away else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planted import species_world
from retrievals import precisions_of, unwhitened

import ensemble.tuning.species_weights
from cv import Mix
from ensemble import Blend
from ensemble.identification.prediction import certain_ranking, predict
from ensemble.protocol.evaluation_set import build_evaluation_set
from ensemble.protocol.setup import Setup
from ensemble.tuning.species_weights import KAPPAS, with_species_weights

MIX = Mix(0.15)
KINDS = ["orca", "seal"]
ALIKE = {"a": 0.5, "b": 0.5}
TRIED = [{"a": 0.3, "b": 0.7}, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]


@pytest.fixture(autouse=True)
def small_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble.tuning.species_weights, "MIN_PHOTOS", 40)


def start(setup: Setup) -> Blend:
    return setup.evaluation_set.decided(Blend(dict(ALIKE), background=1.0))[0]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """a sees orcas only, b seals only, both see the rare species."""
    sees = {"a": ["orca", "rare"], "b": ["seal", "rare"]}
    individuals = {"orca": 25, "seal": 25, "rare": 7}
    return unwhitened(species_world(tmp_path_factory.mktemp("planted") / "w", sees, individuals), MIX)


def test_each_species_gets_the_model_that_sees_it(planted: Setup) -> None:
    blend = start(planted)
    found, kappa = with_species_weights(planted.evaluation_set, blend, TRIED)
    assert kappa == min(KAPPAS)
    assert set(found.species_weights) == {"orca", "seal"}, "the rare species stays with the global weights"
    assert found.species_weights["orca"]["a"] > 0.6 > 0.4 > found.species_weights["seal"]["a"]
    assert replace(found, species_weights={}) == blend
    assert (
        planted.evaluation_set.score(found, found.decision).map5
        > planted.evaluation_set.score(blend, blend.decision).map5 + 0.05
    )


def test_they_are_shrunk_by_the_number_of_photos(planted: Setup) -> None:
    found, kappa = with_species_weights(planted.evaluation_set, start(planted), TRIED)
    assert kappa is not None
    query_set = planted.evaluation_set.query_set
    for species, weights in found.species_weights.items():
        photos = int((query_set.species.likely == query_set.species_names.index(species)).sum())
        share = photos / (photos + kappa)
        own = {name: (weights[name] - (1 - share) * ALIKE[name]) / share for name in weights}
        assert sum(own.values()) == pytest.approx(1.0)
        # the mean of the best three: nearly all for one model
        assert max(own.values()) > 0.8
        assert min(own.values()) > -1e-9


def test_they_help_on_photos_of_a_fold_they_were_not_chosen_on(planted: Setup) -> None:
    evaluation_set, folds = planted.evaluation_set, planted.project.catalogue.folds
    gained = []
    for fold in np.unique(folds):
        others = planted.evaluation_set_in(MIX, np.flatnonzero(folds != fold))
        blend = others.decided(Blend(dict(ALIKE), background=1.0))[0]
        found, kappa = with_species_weights(others, blend, TRIED)
        assert kappa is not None
        inside = evaluation_set.fold == fold
        before, after = (evaluation_set.score(recipe, recipe.decision).precision[inside] for recipe in (blend, found))
        gained.append(evaluation_set.weights[inside] @ (after - before))
    assert min(gained) > 0
    assert sum(gained) > 0.05


def test_where_the_models_see_all_species_alike_the_global_weights_stay(tmp_path: Path) -> None:
    """Better by a standard error is better by chance at times, and then by nearly nothing."""
    kappas = []
    for seed in range(1, 6):
        world = species_world(tmp_path / str(seed), dict.fromkeys("ab", KINDS), dict.fromkeys(KINDS, 20), seed=seed)
        setup = unwhitened(world, MIX)
        blend = start(setup)
        found, kappa = with_species_weights(setup.evaluation_set, blend, TRIED, seed)
        kappas.append(kappa)
        if kappa is None:
            assert found == blend
    assert kappas.count(None) >= 4


class Contradicting:
    """Two species, two folds: for the first species a is much better in one fold and somewhat worse in the other."""

    def __init__(self, worse: float) -> None:
        n, self.worse = 80, worse
        self.fold, self.species = np.arange(n) % 2, np.repeat([0, 1], n // 2)
        self.query_set = SimpleNamespace(species_names=["orca", "seal"])
        self.is_simulated, self.weights = np.zeros(n, dtype=bool), np.full(n, 1 / n)

    def score(self, blend: Blend, _: object) -> SimpleNamespace:
        a = np.array([blend.species_weights.get(name, blend.weights)["a"] for name in ["orca", "seal"]])
        gain = np.where(self.fold == 0, 1.0, -self.worse) * (a[self.species] - 0.5)
        return SimpleNamespace(precision=0.5 + 0.5 * np.where(self.species == 0, gain, 0.0))


@pytest.mark.parametrize(("worse", "proves_right"), [(-0.5, True), (0.5, False)])
def test_what_is_better_in_sample_must_be_better_on_the_other_folds(worse: float, proves_right: bool) -> None:
    evaluation_set = Contradicting(worse)
    pool = [{"a": 1.0, "b": 0.0}] * 12 + [{"a": 0.0, "b": 1.0}] * 12
    found, kappa = with_species_weights(evaluation_set, Blend(dict(ALIKE)), pool)  # type: ignore[arg-type]
    assert (kappa is not None) == proves_right
    assert evaluation_set.weights @ evaluation_set.score(Blend({"a": 1.0, "b": 0.0}), None).precision > 0.5, (
        "all for a is better than alike, over both folds together"
    )
    assert set(found.species_weights) == ({"orca", "seal"} if proves_right else set())


def test_a_species_with_fewer_photos_stays_with_the_global_weights(
    planted: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    likely = planted.evaluation_set.query_set.species.likely
    counts = dict(zip(planted.evaluation_set.query_set.species_names, np.bincount(likely).tolist(), strict=True))
    assert counts["rare"] < 40 < min(counts["orca"], counts["seal"])
    for least, expected in ((counts["rare"], {"orca", "seal", "rare"}), (counts["rare"] + 1, {"orca", "seal"})):
        monkeypatch.setattr(ensemble.tuning.species_weights, "MIN_PHOTOS", least)
        found, _ = with_species_weights(planted.evaluation_set, start(planted), TRIED)
        assert set(found.species_weights) == expected
    # one frequent species alone has nothing to differ from
    monkeypatch.setattr(ensemble.tuning.species_weights, "MIN_PHOTOS", 1)
    orcas = planted.evaluation_set_in(
        MIX, np.flatnonzero(likely == planted.evaluation_set.query_set.species_names.index("orca"))
    )
    assert with_species_weights(orcas, start(planted), TRIED) == (start(planted), None)


def test_a_species_that_no_test_photo_has_stays_with_the_global_weights(
    planted: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its photos have no weight in the evaluation set, so nothing can be told of it."""
    query_set = planted.evaluation_set.query_set
    names = query_set.species_names
    share = np.where(np.array(names) == "seal", 0.0, planted.test_species)
    evaluation_set = build_evaluation_set(query_set, MIX, share / share.sum())
    assert evaluation_set.weights[evaluation_set.species == names.index("seal")].sum() == 0
    monkeypatch.setattr(ensemble.tuning.species_weights, "MIN_PHOTOS", 20)
    found, kappa = with_species_weights(evaluation_set, start(planted), TRIED)
    assert kappa is not None
    assert set(found.species_weights) == {"orca", "rare"}


def test_one_model_or_one_fold_leaves_nothing_to_choose(planted: Setup) -> None:
    alone = Blend({"a": 1.0}, background=1.0)
    assert with_species_weights(planted.evaluation_set, alone, [{"a": 1.0}]) == (alone, None)
    one_fold = planted.evaluation_set_in(MIX, np.flatnonzero(planted.project.catalogue.folds == 0))
    assert with_species_weights(one_fold, start(planted), TRIED) == (start(planted), None)


def test_the_same_seed_gives_the_same_weights(planted: Setup) -> None:
    one, again = (with_species_weights(planted.evaluation_set, start(planted), TRIED, 3) for _ in range(2))
    assert one == again


def test_a_photo_is_named_by_the_weights_of_its_likely_species(planted: Setup) -> None:
    own = {"orca": {"a": 0.9, "b": 0.1}, "seal": {"b": 1.0}, "no such species": {"a": 1.0}}
    blend = replace(start(planted), species_weights=own)
    query_set = planted.evaluation_set.query_set
    found = predict(query_set, blend).labels
    for n, species in enumerate(query_set.species_names):
        plain = replace(blend, weights=own.get(species, ALIKE), species_weights={})
        here = query_set.species.likely == n
        np.testing.assert_array_equal(found[here], predict(query_set, plain).labels[here])
        assert here.sum() > 20
    evaluation_set = planted.evaluation_set
    precision = precisions_of(evaluation_set, certain_ranking(query_set, blend)[0], blend)
    assert evaluation_set.weights @ precision == pytest.approx(evaluation_set.score(blend, blend.decision).map5)
