"""Candidates, the gallery's background, traits, the conditional logit: by hand, by brute force, by what drew them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import CHANNELS, N_PEOPLE, random_evidence, random_species, random_weights

import postproc.second_stage.cohort
import postproc.second_stage.conditional_logit
import postproc.second_stage.features
from cv.errors import FinblendError
from postproc import NEW, NOBODY, Evidence
from postproc.calibration.posterior import outcome
from postproc.second_stage.candidates import Candidates, candidates_of
from postproc.second_stage.cohort import NO_FOLD, cohort_background
from postproc.second_stage.conditional_logit import ConditionalLogit, fit_conditional_logit
from postproc.second_stage.features import CandidateFeatures, candidate_features
from postproc.second_stage.traits import CandidateRows


def similarities(evidence: Evidence, weights: np.ndarray, group: int) -> np.ndarray:
    """(photos, sources + 1): of a group's photos, the mean over views, the blend last."""
    own = evidence.similarity[evidence.photo_start[group] : evidence.photo_start[group + 1]].astype(float)
    per_source = np.stack([own[:, row].mean(axis=1) for row in evidence.channels], axis=1)
    return np.concatenate([per_source, (per_source @ weights)[:, None]], axis=1)


@examples(25)
@given(st.integers(0, 10_000))
def test_candidates_are_those_of_a_slow_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, CHANNELS[int(rng.integers(len(CHANNELS)))], 4)
    n = evidence.n_queries
    species, weights = random_species(rng, n), random_weights(rng, len(evidence.sources))
    found = candidates_of(evidence, weights[None], np.zeros(n, dtype=int), species, 0.5, places=3)
    for q in range(n):
        slow = []
        for g in range(evidence.group_start[q], evidence.group_start[q + 1]):
            who = int(evidence.individual[g])
            each = -np.sort(-similarities(evidence, weights, g), axis=0)
            slow.append((each[0, -1] - 0.5 * species.mismatch[q, species.of_individual[who]], who, each))
        slow.sort(key=lambda row: -row[0])
        scores = [row[0] for row in slow]
        for c, (score, who, each) in enumerate(slow[:3]):
            if min([abs(score - other) for o, other in enumerate(scores) if o != c] or [1]) < 1e-5:
                continue  # a tie, or nearly: whoever comes first
            assert found.individual[q, c] == who
            assert found.seen[q, c] == len(each)
            assert found.similarity[q, c, :, 0] == pytest.approx(each[0], abs=1e-5)
            assert found.similarity[q, c, :, 2] == pytest.approx(each[:3].mean(axis=0), abs=1e-5)
            assert np.isnan(found.similarity[q, c, :, 1]).all() == (len(each) == 1)
        assert (found.individual[q, len(slow) :] == NOBODY).all()


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_background_is_that_of_a_slow_search(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, CHANNELS[int(rng.integers(len(CHANNELS)))], 4)
    weights = random_weights(rng, len(evidence.sources))
    own = rng.integers(0, N_PEOPLE, evidence.n_queries)
    fold = rng.integers(0, 3, len(evidence.photo))
    for hidden in (NO_FOLD, 1):
        found = cohort_background(evidence, weights, own, fold, hidden, k)
        for q in range(evidence.n_queries):
            best = []
            for g in range(evidence.group_start[q], evidence.group_start[q + 1]):
                photos = evidence.photo[evidence.photo_start[g] : evidence.photo_start[g + 1]]
                left = similarities(evidence, weights, g)[fold[photos] != hidden]
                if len(left) and evidence.individual[g] != own[q]:
                    best.append(left.max(axis=0))
            if best:
                assert found[q] == pytest.approx((-np.sort(-np.stack(best), axis=0))[:k].mean(axis=0), abs=1e-5)
            else:
                assert np.isnan(found[q]).all()


def one_query() -> Candidates:
    """Individuals 5 (0.9, 0.7), 3 (0.6), 8 (0.4); the blend is the only source again."""
    similarity = np.full((1, 4, 2, 3), np.nan, dtype=np.float32)
    for c, values in enumerate(((0.9, 0.7), (0.6,), (0.4,))):
        similarity[0, c, :, 0] = values[0]
        similarity[0, c, :, 2] = np.mean(values)
        if len(values) > 1:
            similarity[0, c, :, 1] = values[1]
    individual = np.array([[5, 3, 8, NOBODY]], dtype=np.int32)
    no_pairs = np.empty((1, 4, 0, 3), dtype=np.float32)
    return Candidates(individual, individual, np.array([[2, 1, 1, 0]], dtype=np.int32), similarity, no_pairs)


def test_traits_by_hand() -> None:
    background = np.array([0.3, 0.2, 0.1, 0.0])[None, :, None].repeat(2, axis=2)
    found = candidate_features(
        one_query(), ("a",), np.array([[2, 1, 1, 0]]), np.zeros((1, 4)), background, np.zeros(1, dtype=np.int64)
    )
    at = {name: found.candidate[0, :, n].tolist() for n, name in enumerate(found.names)}
    # the query's background is the mean of places 2 and 3: 0.5
    assert at["best:a"] == pytest.approx([0.4, 0.1, -0.1, 0])
    assert at["second:a"] == pytest.approx([-0.2, 0, 0, 0])
    assert at["top3:a"] == pytest.approx([-0.1, 0, 0, 0])
    assert at["behind:a"] == pytest.approx([0, -0.3, -0.5, 0])
    assert at["lead:a"] == pytest.approx([0.3, -0.3, -0.5, 0])
    assert at["cohort:a"] == pytest.approx([0.3, 0.2, 0.1, 0])
    assert at["best*cohort"] == pytest.approx([0.27, 0.12, 0.04, 0])
    assert at["cohort*background"] == pytest.approx([0.15, 0.1, 0.05, 0])
    assert at["agree"] == [2, 0, 0, 0]
    assert at["single"] == [0, 1, 1, 0]
    assert at["rank"] == pytest.approx([0, np.log(2), np.log(3), 0])
    assert found.query[0, -1] == pytest.approx(0.5)
    assert found.present.tolist() == [[True, True, True, False]]


@examples(15)
@given(st.integers(0, 10_000))
def test_whoever_is_hidden_is_as_if_evidence_had_never_held_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, CHANNELS[int(rng.integers(len(CHANNELS)))], 4)
    n, who = evidence.n_queries, rng.integers(0, N_PEOPLE, evidence.n_queries)
    species, weights = random_species(rng, n), random_weights(rng, len(evidence.sources))[None]
    found = candidates_of(evidence, weights, np.zeros(n, dtype=int), species, 0.5, places=3, hidden=who)
    query = np.repeat(np.arange(n), np.diff(evidence.group_start))
    left = evidence.individual != who[query]
    size = np.diff(evidence.photo_start)
    photos = np.repeat(left, size)
    without = replace(
        evidence,
        group_start=np.append(0, np.cumsum(left))[evidence.group_start],
        individual=evidence.individual[left],
        gallery_photos=evidence.gallery_photos[left],
        photo_start=np.append(0, np.cumsum(size[left])),
        photo=evidence.photo[photos],
        similarity=evidence.similarity[photos],
    )
    other = candidates_of(without, weights, np.zeros(n, dtype=int), species, 0.5, places=3)
    for field in fields(Candidates):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(other, field.name))


def random_traits(rng: np.random.Generator, n: int) -> CandidateFeatures:
    names, places = ("x", "y"), 4
    individual = np.stack([rng.permutation(30)[:places] for _ in range(n)]).astype(np.int32)
    individual[rng.random(n) < 0.2, -1] = NOBODY
    present = individual != NOBODY
    candidate = np.where(present[..., None], rng.standard_normal((n, places, 2)), 0).astype(np.float32)
    return CandidateFeatures(
        names, candidate, ("z",), candidate[:, 0, :1], present, individual, individual, rng.integers(0, 2, n)
    )


def truth_drawn(rng: np.random.Generator, traits: CandidateFeatures, choice: ConditionalLogit) -> np.ndarray:
    edges = choice.of(traits).cumsum(axis=1)
    came = (rng.random(len(edges))[:, None] > edges).sum(axis=1)
    named = np.concatenate([traits.individual, np.tile([NEW, 99], (len(came), 1))], axis=1)
    return np.take_along_axis(named, came[:, None], axis=1)[:, 0]


PLANTED = ConditionalLogit(
    ("x", "y"),
    ("z",),
    np.zeros(2),
    np.ones(2),
    np.zeros(1),
    np.ones(1),
    np.array([1.5, -1.0]),
    np.array([-0.8, 0.5]),
    np.array([0.4, -1.0]),
    np.array([0.0, 1.2]),
    np.empty((2, 0)),
)


def test_a_worked_choice() -> None:
    traits = CandidateFeatures(
        ("x", "y"),
        np.array([[[1, 0], [0, 1], [0, 0], [0, 0]]], dtype=np.float32),
        ("z",),
        np.array([[1.0]], dtype=np.float32),
        np.array([[True, True, False, False]]),
        np.array([[4, 2, NOBODY, NOBODY]], dtype=np.int32),
        np.zeros((1, 4), dtype=np.int32),
        np.array([1]),
    )
    odds = np.exp([1.5, -1.0, -np.inf, -np.inf, -0.8 + 0.5 + 1.2, 0.4 - 1.0])
    assert PLANTED.of(traits)[0] == pytest.approx(odds / odds.sum())
    # a species that the fit has not met has no offset
    odds[-2] = np.exp(-0.8 + 0.5)
    assert PLANTED.of(replace(traits, species=np.array([7])))[0] == pytest.approx(odds / odds.sum())


def test_a_fit_finds_what_drew_the_truth() -> None:
    rng = np.random.default_rng(3)
    traits = random_traits(rng, 12_000)
    truth = truth_drawn(rng, traits, PLANTED)
    found = fit_conditional_logit(traits, truth, np.ones(len(truth)))
    assert found.of(traits) == pytest.approx(PLANTED.of(traits), abs=0.05)
    # their constants are free: somebody new and somebody missed are as common as their probabilities say
    came = np.bincount(outcome(traits.individual, truth), minlength=6) / len(truth)
    assert found.of(traits).mean(axis=0)[-2:] == pytest.approx(came[-2:], abs=0.001)


def test_a_species_with_few_photos_stays_nearer_to_the_others() -> None:
    rng = np.random.default_rng(6)
    traits = random_traits(rng, 6_000)
    few = replace(traits, species=np.where(np.arange(6_000) < 20, 2, traits.species))
    truth = truth_drawn(rng, traits, PLANTED)
    # all 20 photos of the rare species and as many of a frequent one show somebody new
    truth[:20] = NEW
    offsets = fit_conditional_logit(few, truth, np.ones(6_000)).offsets
    assert offsets[1] - offsets[0] == pytest.approx(1.2, abs=0.2)
    assert 1.0 < offsets[2] < 4.0
    freer = fit_conditional_logit(few, truth, np.ones(6_000), ridge=0.01).offsets
    assert freer[2] > offsets[2] + 1.0


def test_a_fit_does_not_depend_on_the_scale_of_a_trait_or_of_the_weights() -> None:
    rng = np.random.default_rng(4)
    traits = random_traits(rng, 500)
    truth = truth_drawn(rng, traits, PLANTED)
    weights = rng.random(500)
    plain = fit_conditional_logit(traits, truth, weights).of(traits)
    other = replace(traits, candidate=traits.candidate * np.array([100, 0.01], dtype=np.float32))
    assert fit_conditional_logit(other, truth, 7 * weights).of(other) == pytest.approx(plain, abs=2e-3)


def test_photos_without_weight_have_no_say() -> None:
    rng = np.random.default_rng(5)
    traits = random_traits(rng, 400)
    truth = truth_drawn(rng, traits, PLANTED)
    weights = np.where(np.arange(400) < 200, 1.0, 0.0)
    other = truth.copy()
    other[200:] = NEW
    here = traits.take(np.arange(200))
    np.testing.assert_array_equal(
        fit_conditional_logit(traits, truth, weights).of(here), fit_conditional_logit(traits, other, weights).of(here)
    )


def test_a_fit_on_some_of_many_photos_keeps_the_share_of_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few heavy strangers among many known photos: which are drawn must not move what they weigh together."""
    monkeypatch.setattr(postproc.second_stage.conditional_logit, "MOST_PHOTOS", 300)
    rng = np.random.default_rng(8)
    traits = random_traits(rng, 3000)
    truth = truth_drawn(rng, traits, PLANTED)
    few = np.flatnonzero(truth == NEW)[:12]
    weights = np.where(truth == NEW, 0.0, 1.0)
    weights[few] = 0.2 / 0.8 * weights.sum() / 12
    share = fit_conditional_logit(traits, truth, weights).of(traits)[:, -2]
    assert np.average(share, weights=weights) == pytest.approx(0.2, abs=0.06)


@dataclass(frozen=True)
class Told:
    """A trait whose numbers are told: a row for each row of the query set."""

    numbers: np.ndarray
    name: str = "told"
    needs: str = "column"

    def of(self, rows: CandidateRows) -> np.ndarray:
        """The rows' numbers."""
        return self.numbers[rows.query]


def test_traits_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    three = one_query().joined(one_query().joined(one_query().take(np.array([0]))))
    given = (np.ones((3, 4)), np.zeros((3, 4)), np.zeros((3, 4, 2)), np.zeros(3, dtype=np.int64))
    told = Told(np.array([[0.1, 0.2, 0.3, np.nan], [0.4, 0.0, -0.1, np.nan], [0.2, np.nan, -0.2, np.nan]]))
    rows = CandidateRows(three, np.array([1, 0, 2]), np.full(3, NO_FOLD))
    whole = candidate_features(three, ("a",), *given, [told], rows)
    monkeypatch.setattr(postproc.second_stage.features, "_BLOCK", 2)
    np.testing.assert_array_equal(whole.candidate, candidate_features(three, ("a",), *given, [told], rows).candidate)
    at = whole.names.index("told")
    assert (whole.names[at + 1], whole.own_say) == ("known:told", 2)
    assert whole.candidate[:2, :, at] == pytest.approx(np.array([[0.4, 0, -0.1, 0], [0.1, 0.2, 0.3, 0]]))
    # of a candidate it is not known, and not 0; nobody has nothing
    assert whole.candidate[2, :, at] == pytest.approx([0.2, np.nan, -0.2, 0], nan_ok=True)
    assert whole.candidate[2, :, at + 1].tolist() == [1, 0, 1, 0]
    # a query has its first candidate's, and the highest of all
    assert whole.query_names[-3:] == ("told", "known:told", "highest:told")
    assert whole.query[:, -3:] == pytest.approx(np.array([[0.4, 1, 0.4], [0.1, 1, 0.3], [0.2, 1, 0.2]]))


def test_refusals() -> None:
    rng = np.random.default_rng(6)
    traits = random_traits(rng, 10)
    with pytest.raises(FinblendError, match="no photo has weight"):
        fit_conditional_logit(traits, np.zeros(10, dtype=int), np.zeros(10))
    with pytest.raises(FinblendError, match="fitted on other traits"):
        PLANTED.of(replace(traits, names=("x", "q")))
