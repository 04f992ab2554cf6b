"""What a trait says in one species and not in another; and that not compared is not 0: by what drew the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from cv.errors import FinblendError
from postproc import NEW, NOBODY
from postproc.second_stage.candidates import Candidates
from postproc.second_stage.cohort import NO_FOLD
from postproc.second_stage.conditional_logit import ConditionalLogit, fit_conditional_logit
from postproc.second_stage.features import CandidateFeatures, candidate_features
from postproc.second_stage.traits import CandidateRows, PairColumn, PairTrait

PLACES = 4


def planted(own: list[list[float]]) -> ConditionalLogit:
    """x says 1 everywhere, y 1 and what a species adds to it."""
    return ConditionalLogit(
        ("x", "y"),
        ("z",),
        np.zeros(2),
        np.ones(2),
        np.zeros(1),
        np.ones(1),
        np.ones(2),
        np.array([-0.8, 0.5]),
        np.array([0.4, -1.0]),
        np.zeros(len(own)),
        np.array(own),
    )


def drawn(rng: np.random.Generator, n: int, species: np.ndarray) -> CandidateFeatures:
    """Features at random; the last of two has a say of its own."""
    individual = np.stack([rng.permutation(30)[:PLACES] for _ in range(n)]).astype(np.int32)
    individual[rng.random(n) < 0.2, -1] = NOBODY
    present = individual != NOBODY
    candidate = np.where(present[..., None], rng.standard_normal((n, PLACES, 2)), 0).astype(np.float32)
    query = candidate[:, 0, :1]
    return CandidateFeatures(("x", "y"), candidate, ("z",), query, present, individual, individual, species, own_say=1)


def truth_drawn(rng: np.random.Generator, features: CandidateFeatures, logit: ConditionalLogit) -> np.ndarray:
    edges = logit.of(features).cumsum(axis=1)
    came = (rng.random(len(edges))[:, None] > edges).sum(axis=1)
    named = np.concatenate([features.individual, np.tile([NEW, 99], (len(came), 1))], axis=1)
    return np.take_along_axis(named, came[:, None], axis=1)[:, 0]


def say(fit: ConditionalLogit) -> np.ndarray:
    """(species,) what y says, in its own units."""
    return (fit.candidate[1] + fit.own[:, 0]) / fit.spread[1]


def test_a_trait_decides_in_one_species_and_is_noise_in_another() -> None:
    rng = np.random.default_rng(1)
    truth_by = planted([[1.0], [-1.0]])
    features = drawn(rng, 8_000, rng.integers(0, 2, 8_000))
    truth = truth_drawn(rng, features, truth_by)
    fit = fit_conditional_logit(features, truth, np.ones(len(truth)))
    assert say(fit) == pytest.approx([2.0, 0.0], abs=0.12)
    assert fit.candidate[0] / fit.spread[0] == pytest.approx(1.0, abs=0.1)
    assert fit.of(features) == pytest.approx(truth_by.of(features), abs=0.05)
    # without a say of its own it is something between, and answers worse
    one_say = fit_conditional_logit(replace(features, own_say=0), truth, np.ones(len(truth)))
    assert one_say.own.shape == (2, 0)
    assert 0.3 < one_say.candidate[1] / one_say.spread[1] < 1.5


def test_a_species_with_few_photos_keeps_nearer_to_the_common_say() -> None:
    rng = np.random.default_rng(2)
    species = np.append(np.full(25, 2), rng.integers(0, 2, 4_000))
    features = drawn(rng, len(species), species)
    truth = truth_drawn(rng, features, planted([[0.0], [0.0], [3.0]]))
    plain, freer, bound = (fit_conditional_logit(features, truth, np.ones(len(truth)), r) for r in (1.0, 0.05, 100.0))
    common = say(plain)[:2].mean()
    assert say(plain)[:2] == pytest.approx([1.0, 1.0], abs=0.15)
    # 25 photos speak for more than the common say, and for less than the 4 that drew them
    assert common + 0.3 < say(plain)[2] < 3.0
    assert say(plain)[2] < say(freer)[2]
    assert np.ptp(say(bound)) < np.ptp(say(plain)) / 5
    # as many photos as the others have
    species = rng.integers(0, 3, 6_000)
    many = drawn(rng, len(species), species)
    truth = truth_drawn(rng, many, planted([[0.0], [0.0], [3.0]]))
    assert say(fit_conditional_logit(many, truth, np.ones(len(truth))))[2] == pytest.approx(4.0, abs=0.5)


def test_a_worked_choice_with_a_say_of_its_own() -> None:
    features = CandidateFeatures(
        ("x", "y"),
        np.array([[[1, 0], [0, 2], [0, 0], [0, 0]]], dtype=np.float32),
        ("z",),
        np.array([[1.0]], dtype=np.float32),
        np.array([[True, True, False, False]]),
        np.array([[4, 2, NOBODY, NOBODY]], dtype=np.int32),
        np.zeros((1, 4), dtype=np.int32),
        np.array([1]),
        own_say=1,
    )
    logit = planted([[-0.5], [0.75]])
    # the last species is one that the fit has not met: the common say
    for species, y_says in ((0, 0.5), (1, 1.75), (7, 1.0)):
        odds = np.exp([1.0, 2 * y_says, -np.inf, -np.inf, -0.8 + 0.5, 0.4 - 1.0])
        told = logit.of(replace(features, species=np.array([species])))[0]
        assert told == pytest.approx(odds / odds.sum())
    # what is not known of a candidate says as much as the mean: here 0
    unknown = replace(features, candidate=np.where(features.candidate == 2, np.nan, features.candidate))
    nothing = replace(features, candidate=np.where(features.candidate == 2, 0, features.candidate))
    np.testing.assert_array_equal(logit.of(unknown), logit.of(nothing))


@examples(25)
@given(own_say=st.integers(0, 3), n_species=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_fit_comes_back_from_its_numbers(own_say: int, n_species: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names, query_names = ("a", "b", "c"), ("z", "y")
    sizes = (3, 3, 2, 2, 3, 3, 3, n_species)
    fit = ConditionalLogit(
        names, query_names, *map(rng.standard_normal, sizes), rng.standard_normal((n_species, own_say))
    )
    flat = fit.flat()
    assert (flat.dtype, flat.ndim) == (np.float64, 1)
    again = ConditionalLogit.from_flat(names, query_names, flat, own_say)
    np.testing.assert_array_equal(again.flat(), flat)
    np.testing.assert_array_equal(again.offsets, fit.offsets)
    np.testing.assert_array_equal(again.own, fit.own)
    np.testing.assert_array_equal(again.missed, fit.missed)


@pytest.mark.parametrize(("n", "own_say"), [(19, 0), (10, 0), (22, 1), (0, 0)])
def test_numbers_that_are_no_fit_are_refused(n: int, own_say: int) -> None:
    """Three traits and two of the query are 19 numbers, and for each species 1 and its own."""
    with pytest.raises(FinblendError, match=r"a second stage .* is needed, but got"):
        ConditionalLogit.from_flat(("a", "b", "c"), ("z", "y"), np.zeros(n), own_say)


def test_a_fit_on_what_is_partly_or_never_known() -> None:
    rng = np.random.default_rng(3)
    species = rng.integers(0, 2, 3_000)
    features = drawn(rng, 3_000, species)
    unknown = features.present & (rng.random(features.present.shape) < 0.3)
    candidate = features.candidate.copy()
    candidate[unknown, 1] = np.nan
    query = np.where(rng.random(features.query.shape) < 0.3, np.nan, features.query)
    partly = replace(features, candidate=candidate, query=query)
    truth = truth_drawn(rng, partly, planted([[1.0], [1.0]]))
    fit = fit_conditional_logit(partly, truth, np.ones(3_000))
    # fitted on those that are known: the mean and the spread are theirs
    known = candidate[features.present & ~unknown, 1]
    assert (fit.centre[1], fit.spread[1]) == pytest.approx((known.mean(), known.std()), abs=1e-5)
    assert say(fit) == pytest.approx([2.0, 2.0], abs=0.3)
    told = fit.of(partly)
    assert told.sum(axis=1) == pytest.approx(1)
    at_mean = np.where(np.isnan(candidate), fit.centre.astype(np.float32), candidate)
    assert told == pytest.approx(
        fit.of(replace(partly, candidate=at_mean, query=np.where(np.isnan(query), fit.query_centre, query))), abs=1e-6
    )
    # known of nobody: as if there were no such trait
    candidate[..., 1] = np.nan
    never = fit_conditional_logit(replace(features, candidate=candidate), truth, np.ones(3_000))
    assert say(never).tolist() == [0, 0]


SCORE = {"true": 20.0, "false": 2.0}


def marks(rng: np.random.Generator, n: int, unknown_as: float) -> tuple[CandidateFeatures, np.ndarray]:
    """A world in which a third of all pairs is compared, whoever is on them; what is not stands as `unknown_as`."""
    individual = np.stack([rng.permutation(30)[:PLACES] for _ in range(n)]).astype(np.int32)
    truth = individual[np.arange(n), rng.integers(0, PLACES, n)]
    truth[rng.random(n) < 0.1] = NEW
    right = individual == truth[:, None]
    score = np.where(right, SCORE["true"], SCORE["false"]) * np.exp(0.5 * rng.standard_normal(right.shape))
    score[rng.random(right.shape) > 1 / 3] = unknown_as
    similarity = (0.1 * rng.standard_normal((n, PLACES, 2, 3)) + 0.1 * right[..., None, None]).astype(np.float32)
    return features_of(individual, similarity, score), truth


def features_of(individual: np.ndarray, similarity: np.ndarray, score: np.ndarray) -> CandidateFeatures:
    shape = individual.shape
    pairs = np.full((*shape, 2, 3), np.nan, dtype=np.float32)
    pairs[:, :, 0, 0] = pairs[:, :, 0, 2] = score
    candidates = Candidates(individual, individual, np.ones(shape, dtype=np.int32), similarity, pairs)
    rows = CandidateRows(candidates, np.arange(len(individual)), np.full(len(individual), NO_FOLD))
    traits = [PairTrait(kind, PairColumn("marks", 0, 2.0)) for kind in ("best", "lead", "behind")]
    nothing, background = np.zeros(shape), np.zeros((*shape, 2))
    species = np.zeros(len(individual), dtype=np.int64)
    return candidate_features(candidates, ("a",), nothing, nothing, background, species, traits, rows)


def test_who_was_not_compared_is_not_taken_for_one_who_differs() -> None:
    individual = np.array([[5, 3, 8, 1]], dtype=np.int32)
    level = np.full((1, PLACES, 2, 3), 0.5, dtype=np.float32)
    asked = {}
    for kind, unknown_as in (("unknown", np.nan), ("nothing", 0.0)):
        features, truth = marks(np.random.default_rng(4), 3_000, unknown_as)
        fit = fit_conditional_logit(features, truth, np.ones(len(truth)))
        # equally similar: two were compared and differ, one was compared and is alike, or nobody is
        for what, score in (("alike", [20.0, 2.0, 2.0, unknown_as]), ("differ", [unknown_as, 2.0, 2.0, 2.0])):
            asked[kind, what] = fit.of(features_of(individual, level, np.array([score])))[0]
    assert asked["unknown", "alike"].argmax() == 0
    # three differ: whoever was not compared is likeliest
    differ = asked["unknown", "differ"]
    assert differ[0] > 2.5 * differ[1:4].max()
    # were it 0, it would be penalised
    assert asked["nothing", "differ"][0] < differ[0]
