"""Ranking against its docstring written out slowly, with numbers that leave nothing to rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    CHANNELS,
    N_PEOPLE,
    best_photos,
    blended,
    ceiling,
    one_thread,  # noqa: F401
    random_evidence,
    random_species,
    random_weights,
    same_ranking,
    slow_scores,
)

from cv import FinblendError
from postproc import NOBODY, Evidence, rank
from postproc.ranking.rank import Ranker, Species
from postproc.ranking.ranking import DEPTH


def slow_bound(
    evidence: Evidence, weights: np.ndarray, q: int, top_photos: int, penalty: float, species: Species
) -> float:
    """The most that anybody can score of whom the candidates do not show enough."""
    views = range(evidence.channels.shape[1])
    ceilings = {likely: [ceiling(evidence, weights, q, v, likely) for v in views] for likely in (False, True)}
    least = min(d for kind, d in enumerate(species.mismatch[q].tolist()) if kind != species.likely[q])
    # photos of individuals without any candidate: of another species, or of the likeliest
    bound = max(sum(ceilings[False]) / len(views) - penalty * least, sum(ceilings[True]) / len(views))
    ranked = slow_scores(evidence, weights, q, top_photos, penalty, species)
    last = ranked[DEPTH - 1][0] if len(ranked) >= DEPTH else -np.inf
    lifted = []
    for place, (_, who, group) in enumerate(ranked):
        own = ceilings[bool(species.of_individual[who] == species.likely[q])]
        mismatch = penalty * float(species.mismatch[q, species.of_individual[who]])
        wanted, unseen = min(top_photos, int(evidence.gallery_photos[group])), False
        most, score = [], []
        for v in views:
            best = best_photos(evidence, weights, v, group)[:wanted]
            missing = [own[v]] * (wanted - len(best))
            if missing and place < DEPTH:
                return np.inf
            most.append(sum([max(b, own[v]) for b in best] + missing) / wanted)
            score.append((sum(best) + sum(min(m, best[-1]) for m in missing)) / wanted)
            unseen |= most[-1] > score[-1]
        if unseen and evidence.gallery_photos[group] > np.diff(evidence.photo_start)[group]:
            top = sum(most) / len(views) - mismatch
            bound = max(bound, top if np.float32(top) > last else -np.inf)
        # somebody whom seven like this one exceed may have been pruned, but not what such a one may have unseen
        lifted.append(
            max(
                sum(max(s, c) for s, c in zip(score, ceilings[False], strict=True)) / len(views)
                - max(mismatch, penalty * least),
                sum(max(s, c) for s, c in zip(score, ceilings[True], strict=True)) / len(views) - mismatch,
            )
        )
    if len(views) > 1 and len(lifted) >= DEPTH:
        bound = max(bound, sorted(lifted, reverse=True)[DEPTH - 1])
    return bound


@examples(150)
@given(
    seed=st.integers(0, 100_000),
    channels=st.sampled_from(CHANNELS),
    top_photos=st.integers(1, 3),
    penalty=st.sampled_from([0.0, 0.0, 0.25, 4.0]),
    searched_species=st.booleans(),
)
def test_rank_equals_its_docstring_to_the_bit(
    seed: int, channels: list[list[int]], top_photos: int, penalty: float, searched_species: bool
) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, channels, 4, searched_species=searched_species)
    weights = np.stack([random_weights(rng, len(channels)) for _ in range(2)])
    species, recipe = random_species(rng, 4), rng.integers(0, 2, 4)
    got = rank(evidence, weights, top_photos=top_photos, species_penalty=penalty, species=species, recipe=recipe)
    assert got.individual.shape == got.score.shape == got.photo.shape == (4, DEPTH)
    for q in range(4):
        own = weights[recipe[q]]
        people = slow_scores(evidence, own, q, top_photos, penalty, species)[:DEPTH]
        empty = DEPTH - len(people)
        assert got.individual[q].tolist() == [who for _, who, _ in people] + [NOBODY] * empty
        assert got.score[q].tolist() == [score for score, _, _ in people] + [-np.inf] * empty
        assert got.photo[q, len(people) :].tolist() == [NOBODY] * empty
        for place, (_, _, group) in enumerate(people):
            photos = slice(evidence.photo_start[group], evidence.photo_start[group + 1])
            like = [
                max(blended(evidence, own, v, values) for v in range(evidence.channels.shape[1]))
                for values in evidence.similarity[photos]
            ]
            at = evidence.photo[photos].tolist().index(got.photo[q, place])
            assert like[at] == max(like)
        assert got.unseen_upper_bound is not None
        assert got.unseen_upper_bound[q] == np.float32(slow_bound(evidence, own, q, top_photos, penalty, species))


@given(seed=st.integers(0, 100_000), top_photos=st.integers(1, 3))
def test_some_rows_in_any_order_are_ranked_as_they_are_among_all(seed: int, top_photos: int) -> None:
    rng = np.random.default_rng(seed)
    evidence, species = random_evidence(rng, CHANNELS[2], 9, searched_species=True), random_species(rng, 9)
    rows, recipe = rng.permutation(9)[: rng.integers(0, 10)], rng.integers(0, 2, 9)
    weights = np.stack([random_weights(rng, 2) for _ in range(2)])
    options = {"top_photos": top_photos, "species_penalty": 0.5, "recipe": recipe}
    ranker = Ranker(evidence, species, rows)
    ranker.rank(weights[::-1], top_photos=4 - top_photos)  # what an earlier call left behind has no say
    assert same_ranking(ranker.rank(weights, **options), rank(evidence, weights, species=species, **options).take(rows))


@given(seed=st.integers(0, 100_000), top_photos=st.integers(1, 3))
def test_a_search_within_species_has_no_say_where_there_are_no_species(seed: int, top_photos: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, CHANNELS[1], 4, searched_species=True)
    weights = random_weights(rng, 2)
    plain = dataclasses.replace(evidence, species_upper_bound=None)
    assert same_ranking(*(rank(e, weights, top_photos=top_photos) for e in (evidence, plain)))


@given(seed=st.integers(0, 100_000), top_photos=st.integers(1, 3))
def test_a_source_without_weight_has_no_say_even_without_evidence(seed: int, top_photos: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, CHANNELS[1], 4)
    silent = evidence.similarity.copy(), evidence.unseen_upper_bound.copy()
    silent[0][:, 1], silent[1][:, 1] = rng.choice([-np.inf, 1.0], len(silent[0])), -np.inf
    changed = dataclasses.replace(evidence, similarity=silent[0], unseen_upper_bound=silent[1])
    weights = np.array([1.0, 0.0])
    one, other = (rank(e, weights, top_photos=top_photos) for e in (evidence, changed))
    assert one.individual.tolist() == other.individual.tolist()
    assert one.score.tolist() == other.score.tolist()


def test_an_unseen_photo_counts_as_the_upper_bound_but_never_more_than_the_least_that_was_seen() -> None:
    # one individual with 3 gallery photos, of which one is a candidate, at 0.5
    start = np.array([0, 1])
    common = {
        "sources": ("a",),
        "channels": np.zeros((1, 1), np.int32),
        "group_start": start,
        "individual": np.array([3], np.int32),
        "gallery_photos": np.array([3], np.int32),
        "photo_start": start,
        "photo": np.array([7], np.int32),
        "similarity": np.array([[0.5]], np.float32),
    }
    for bound, top_photos, expected in ((0.25, 1, 0.5), (0.25, 2, 0.375), (0.25, 3, 1 / 3), (0.75, 2, 0.5)):
        evidence = Evidence(**common, unseen_upper_bound=np.array([[bound]], np.float32))  # type: ignore[arg-type]
        got = rank(evidence, np.ones(1), top_photos=top_photos)
        assert got.score[0, 0] == pytest.approx(expected, abs=1e-7)
        # all three photos are all it has: a mean over five is one over three
        assert (
            rank(evidence, np.ones(1), top_photos=5).score[0, 0] == rank(evidence, np.ones(1), top_photos=3).score[0, 0]
        )
        assert (got.individual[0, 0], got.photo[0, 0]) == (3, 7)


def test_a_large_penalty_puts_the_likely_species_first() -> None:
    rng = np.random.default_rng(3)
    evidence = random_evidence(rng, CHANNELS[0], 6)
    species = (np.arange(N_PEOPLE) % 2).astype(np.int32)
    mismatch = np.tile(np.array([[1.0, 0.0]], np.float32), (6, 1))
    likely = np.ones(6, np.int32)
    got = rank(evidence, np.ones(1), species_penalty=10.0, species=Species(mismatch, species, likely))
    for q in range(6):
        kinds = [int(species[who]) for who in got.individual[q] if who != NOBODY]
        assert kinds == sorted(kinds, reverse=True)
    assert {0, 1} == set(species[got.individual[got.individual != NOBODY]].tolist())


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.5, -0.5], [1.0], [0.5, 0.25, 0.25], [np.nan, 1.0]])
def test_weights_that_are_no_shares_one_a_source_are_refused(weights: list[float]) -> None:
    evidence = random_evidence(np.random.default_rng(0), CHANNELS[1], 2)
    with pytest.raises(FinblendError, match="weights >= 0 summing to 1, one a source, must hold, but got weights="):
        rank(evidence, np.array(weights))


def test_settings_outside_their_range_are_refused() -> None:
    evidence = random_evidence(np.random.default_rng(0), CHANNELS[0], 2)
    with pytest.raises(FinblendError, match="top_photos >= 1 must hold, but got top_photos=0"):
        rank(evidence, np.ones(1), top_photos=0)
    for penalty in (-0.5, float("nan")):
        with pytest.raises(FinblendError, match=f"species_penalty >= 0 must hold, but got species_penalty={penalty}"):
            rank(evidence, np.ones(1), species_penalty=penalty)
    with pytest.raises(FinblendError, match="a species penalty needs the mismatch"):
        rank(evidence, np.ones(1), species_penalty=0.5)
