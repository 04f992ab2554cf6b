"""What each source contributes: Shapley's rules hold, by hand and on a real evaluation set, exact and sampled."""

from __future__ import annotations

import numpy as np
import pytest
from planted import Told, add
from retrievals import unwhitened
from small import Small

import ensemble.tuning.shapley
from cv import Mix
from ensemble import Blend, init, register
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.tuning.shapley import restricted, shapley
from postproc import NEW

NAMES = ["m0", "m1", "m2", "m3", "m4"]


def test_two_sources_by_hand() -> None:
    """Alone a reaches 0.5 and b 0.4, both 0.6; calling everybody new is right for a fifth."""
    reached = {(True, False): 0.5, (False, True): 0.4, (True, True): 0.6}
    told = Told(lambda weights: reached[weights["a"] > 0, weights["b"] > 0])
    found = shapley(told, Blend({"a": 0.75, "b": 0.25}, top_photos=2, background=0.5))  # type: ignore[arg-type]
    assert found["a"].shapley == pytest.approx(0.5 * (0.5 - 0.2) + 0.5 * (0.6 - 0.4))
    assert found["b"].shapley == pytest.approx(0.5 * (0.4 - 0.2) + 0.5 * (0.6 - 0.5))
    assert (found["a"].left_out, found["b"].left_out) == pytest.approx((0.2, 0.1))
    assert (found["a"].error, found["b"].error) == (None, None)
    assert {(blend.top_photos, blend.background) for blend in told.asked} == {(2, 0.5)}
    assert len(told.asked) == 3, "every coalition is scored once"


@pytest.mark.parametrize("exact", [8, 1])
def test_a_source_that_changes_nothing_and_one_without_weight(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble.tuning.shapley, "EXACT", exact)
    told = Told(lambda weights: 0.2 + 0.3 * (weights["a"] > 0))
    found = shapley(told, Blend({"a": 0.5, "idle": 0.5, "none": 0.0}))  # type: ignore[arg-type]
    assert set(found) == {"a", "idle"}
    assert (found["a"].shapley, found["idle"].shapley) == pytest.approx((0.3, 0.0))
    assert (found["a"].left_out, found["idle"].left_out) == pytest.approx((0.3, 0.0))


@pytest.mark.parametrize("exact", [8, 2])
def test_twins_share_alike(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the twins is as good as both, so each is worth half of what one alone would be."""
    monkeypatch.setattr(ensemble.tuning.shapley, "EXACT", exact)
    told = Told(lambda weights: 0.2 + 0.4 * (weights["twin1"] + weights["twin2"] > 0) + 0.1 * (weights["other"] > 0))
    blend = Blend({"twin1": 0.3, "twin2": 0.3, "other": 0.4})
    found = shapley(told, blend)  # type: ignore[arg-type]
    # forwards and backwards, each twin comes first once
    assert found["twin1"].shapley == pytest.approx(found["twin2"].shapley) == pytest.approx(0.2)
    assert found["twin1"].left_out == found["twin2"].left_out == pytest.approx(0.0)
    assert found["other"].shapley == pytest.approx(0.1)


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    folder = tmp_path_factory.mktemp("contributions")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(NAMES):
        add(folder / "P", small, name, seed + 1, noise=2.0 + 0.5 * seed)
    # the first network once more, its space turned
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 24)))[0]
    train, test = ((array @ turn).astype(np.float32) for array in small.noisy(100, 2.0))
    register(folder / "P", "copy", frozen=True, train=(small.train_images, train), test=(small.test_images, test))
    return unwhitened(folder / "P", Mix(0.15)).evaluation_set


def blend_of(names: list[str], **options: object) -> Blend:
    return Blend(dict.fromkeys(names, 1 / len(names)), background=1.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("exact", [8, 2])
def test_they_add_up_to_what_the_blend_gains_over_calling_everybody_new(
    evaluation_set: EvaluationSet, exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble.tuning.shapley, "EXACT", exact)
    own = {"beluga": {"m0": 0.2, "m1": 0.8}, "fin_whale": {"m2": 1.0}}
    for blend in (blend_of(NAMES), blend_of(NAMES, species_weights=own, species_penalty=0.1, top_photos=2)):
        found = shapley(evaluation_set, blend)
        assert set(found) == set(NAMES)
        nobody = float(evaluation_set.weights[evaluation_set.truth == NEW].sum())
        assert nobody == pytest.approx(0.15)
        gained = evaluation_set.decided(blend)[1].map5 - nobody
        assert sum(one.shapley for one in found.values()) == pytest.approx(gained)
        assert gained > 0.3


def test_left_out_is_the_blend_without_the_source(evaluation_set: EvaluationSet) -> None:
    blend = Blend({"m0": 0.5, "m1": 0.3, "m2": 0.2}, background=0.5)
    found = shapley(evaluation_set, blend)
    without = evaluation_set.decided(Blend({"m0": 0.625, "m1": 0.375}, background=0.5))[1].map5
    assert found["m2"].left_out == pytest.approx(evaluation_set.decided(blend)[1].map5 - without)


def test_a_copy_of_a_network_shares_its_value(evaluation_set: EvaluationSet) -> None:
    alone, both = (
        shapley(evaluation_set, blend_of(["m0", "m1"])),
        shapley(evaluation_set, blend_of(["m0", "m1", "copy"])),
    )
    assert both["m0"].shapley == pytest.approx(both["copy"].shapley, abs=1e-9)
    assert both["m0"].left_out == pytest.approx(both["copy"].left_out, abs=1e-9)
    assert both["m0"].shapley < alone["m0"].shapley


def test_sampled_values_are_those_of_all_orders_within_their_errors(
    evaluation_set: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = shapley(evaluation_set, blend_of(NAMES))
    monkeypatch.setattr(ensemble.tuning.shapley, "EXACT", 2)
    sampled = shapley(evaluation_set, blend_of(NAMES), seed=1)
    for name in NAMES:
        assert exact[name].error is None
        error = sampled[name].error
        assert error is not None
        assert 0 < error < 0.05
        assert abs(sampled[name].shapley - exact[name].shapley) < 4 * error
        assert sampled[name].left_out == exact[name].left_out
    assert shapley(evaluation_set, blend_of(NAMES), seed=1) == sampled
    assert shapley(evaluation_set, blend_of(NAMES), seed=2) != sampled


def test_a_source_that_has_weight_for_one_species_only_contributes(evaluation_set: EvaluationSet) -> None:
    """It has no weight in general, and still the blend would be another one without it."""
    blend = Blend({"m4": 1.0, "m0": 0.0}, background=1.0, species_weights={"beluga": {"m0": 0.9, "m4": 0.1}})
    found = shapley(evaluation_set, blend)
    assert set(found) == {"m4", "m0"}
    whole = evaluation_set.decided(blend)[1].map5
    assert found["m0"].left_out == pytest.approx(
        whole - evaluation_set.decided(Blend({"m4": 1.0}, background=1.0))[1].map5
    )
    assert sum(one.shapley for one in found.values()) == pytest.approx(whole - 0.15)


def test_a_blend_without_some_of_its_sources_is_a_blend() -> None:
    own = {"orca": {"a": 0.25, "b": 0.75, "c": 0.0}, "seal": {"c": 1.0}}
    blend = Blend({"a": 0.6, "b": 0.2, "c": 0.2}, species_weights=own, threshold=0.3)
    found = restricted(blend, frozenset({"a", "b"}))
    assert found.weights == pytest.approx({"a": 0.75, "b": 0.25, "c": 0.0})
    assert found.species_weights["orca"] == pytest.approx({"a": 0.25, "b": 0.75, "c": 0.0})
    # nothing is left of what this species had
    assert found.species_weights["seal"] == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})
    assert found.threshold == 0.3
