"""Ranking against its docstring written out slowly, with numbers that leave nothing to rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError
from postproc import NOBODY, Evidence, rank
from postproc.rank import DEPTH

N_PEOPLE = 12
N_SPECIES = 3
# (sources, views) to columns: one source alone; two with a view each; two of which the second has one view;
# three with two views, of which the last shares a column between views
CHANNELS = [[[0]], [[0], [1]], [[0, 1], [2, 2]], [[0, 1], [2, 3], [4, 4]]]


def evidence_of(rng: np.random.Generator, channels: list[list[int]], n: int) -> Evidence:
    """Random evidence; similarities are sixteenths, so ties abound."""
    columns = max(max(row) for row in channels) + 1
    people = [np.sort(rng.choice(N_PEOPLE, rng.integers(0, N_PEOPLE + 1), replace=False)) for _ in range(n)]
    individual = np.concatenate(people).astype(np.int32)
    photos = rng.integers(1, 5, len(individual))
    unseen = rng.integers(0, 3, len(individual))
    return Evidence(
        sources=tuple("abc"[: len(channels)]),
        channels=np.array(channels, dtype=np.int32),
        group_start=np.append(0, np.cumsum([len(p) for p in people])).astype(np.int64),
        individual=individual,
        gallery_photos=(photos + unseen).astype(np.int32),
        photo_start=np.append(0, np.cumsum(photos)).astype(np.int64),
        photo=rng.permutation(photos.sum()).astype(np.int32),
        similarity=(rng.integers(-16, 17, (photos.sum(), columns)) / 16).astype(np.float32),
        horizon=(rng.integers(-16, 17, (n, columns)) / 16).astype(np.float32),
    )


def weights_of(rng: np.random.Generator, sources: int) -> np.ndarray:
    """Eighths that sum to 1, zeros among them."""
    return np.bincount(rng.integers(0, sources, 8), minlength=sources) / 8


def blended(evidence: Evidence, weights: np.ndarray, view: int, values: np.ndarray) -> float:
    """A photo's score in one query view: the weighted sum over sources."""
    return sum(
        weight * float(values[evidence.channels[s, view]])
        for s, weight in enumerate(weights.tolist())
        if weight > 0  # a source without weight has no say, not even with -inf
    )


def score_of(evidence: Evidence, weights: np.ndarray, q: int, group: int, top_photos: int) -> float:
    """An individual's score before any penalty."""
    per_view = []
    for view in range(evidence.channels.shape[1]):
        photos = range(evidence.photo_start[group], evidence.photo_start[group + 1])
        best = sorted((blended(evidence, weights, view, evidence.similarity[p]) for p in photos), reverse=True)
        wanted = min(top_photos, int(evidence.gallery_photos[group]))
        best = best[:wanted]
        # a photo outside the candidates: the most it can be
        most = min(blended(evidence, weights, view, evidence.horizon[q]), best[-1])
        best += [most] * (wanted - len(best))
        per_view.append(sum(best) / wanted)
    return sum(per_view) / len(per_view)


@given(
    seed=st.integers(0, 100_000),
    channels=st.sampled_from(CHANNELS),
    top_photos=st.integers(1, 3),
    penalty=st.sampled_from([0.0, 0.0, 0.25, 4.0]),
)
def test_rank_equals_its_docstring_to_the_bit(
    seed: int, channels: list[list[int]], top_photos: int, penalty: float
) -> None:
    rng = np.random.default_rng(seed)
    evidence = evidence_of(rng, channels, 4)
    weights = weights_of(rng, len(channels))
    doubt = (rng.integers(0, 5, (4, N_SPECIES)) / 4).astype(np.float32)
    species = rng.integers(0, N_SPECIES, N_PEOPLE).astype(np.int32)
    got = rank(
        evidence, weights, top_photos=top_photos, species_penalty=penalty, doubt=doubt, species_of_individual=species
    )
    assert got.individual.shape == got.score.shape == got.photo.shape == (4, DEPTH)
    for q in range(4):
        people = []
        for group in range(evidence.group_start[q], evidence.group_start[q + 1]):
            who = int(evidence.individual[group])
            score = score_of(evidence, weights, q, group, top_photos) - penalty * float(doubt[q, species[who]])
            people.append((-np.float32(score), who, group))
        people = sorted(people)[:DEPTH]  # ties go to the smaller label
        empty = DEPTH - len(people)
        assert got.individual[q].tolist() == [who for _, who, _ in people] + [NOBODY] * empty
        assert got.score[q].tolist() == [-score for score, _, _ in people] + [-np.inf] * empty
        assert got.photo[q, len(people) :].tolist() == [NOBODY] * empty
        for place, (_, _, group) in enumerate(people):
            photos = slice(evidence.photo_start[group], evidence.photo_start[group + 1])
            like = [
                max(blended(evidence, weights, v, values) for v in range(evidence.channels.shape[1]))
                for values in evidence.similarity[photos]
            ]
            at = evidence.photo[photos].tolist().index(got.photo[q, place])
            assert like[at] == max(like)


@given(seed=st.integers(0, 100_000), top_photos=st.integers(1, 3))
def test_a_source_without_weight_has_no_say_even_without_evidence(seed: int, top_photos: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = evidence_of(rng, CHANNELS[1], 4)
    silent = evidence.similarity.copy(), evidence.horizon.copy()
    silent[0][:, 1], silent[1][:, 1] = rng.choice([-np.inf, 1.0], len(silent[0])), -np.inf
    changed = dataclasses.replace(evidence, similarity=silent[0], horizon=silent[1])
    weights = np.array([1.0, 0.0])
    one, other = (rank(e, weights, top_photos=top_photos) for e in (evidence, changed))
    assert one.individual.tolist() == other.individual.tolist()
    assert one.score.tolist() == other.score.tolist()


def test_an_unseen_photo_counts_as_the_horizon_but_never_more_than_the_least_that_was_seen() -> None:
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
    for horizon, top_photos, expected in ((0.25, 1, 0.5), (0.25, 2, 0.375), (0.25, 3, 1 / 3), (0.75, 2, 0.5)):
        evidence = Evidence(**common, horizon=np.array([[horizon]], np.float32))  # type: ignore[arg-type]
        got = rank(evidence, np.ones(1), top_photos=top_photos)
        assert got.score[0, 0] == pytest.approx(expected, abs=1e-7)
        # all three photos are all it has: a mean over five is one over three
        assert (
            rank(evidence, np.ones(1), top_photos=5).score[0, 0] == rank(evidence, np.ones(1), top_photos=3).score[0, 0]
        )
        assert (got.individual[0, 0], got.photo[0, 0]) == (3, 7)


def test_a_large_penalty_puts_the_likely_species_first() -> None:
    rng = np.random.default_rng(3)
    evidence = evidence_of(rng, CHANNELS[0], 6)
    species = (np.arange(N_PEOPLE) % 2).astype(np.int32)
    doubt = np.tile(np.array([[1.0, 0.0]], np.float32), (6, 1))
    got = rank(evidence, np.ones(1), species_penalty=10.0, doubt=doubt, species_of_individual=species)
    for q in range(6):
        kinds = [int(species[who]) for who in got.individual[q] if who != NOBODY]
        assert kinds == sorted(kinds, reverse=True)
    assert {0, 1} == set(species[got.individual[got.individual != NOBODY]].tolist())


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.5, -0.5], [1.0], [0.5, 0.25, 0.25], [np.nan, 1.0]])
def test_weights_that_are_no_shares_one_a_source_are_refused(weights: list[float]) -> None:
    evidence = evidence_of(np.random.default_rng(0), CHANNELS[1], 2)
    with pytest.raises(FinblendError, match="weights >= 0 summing to 1, one a source, must hold, but got weights="):
        rank(evidence, np.array(weights))


def test_settings_outside_their_range_are_refused() -> None:
    evidence = evidence_of(np.random.default_rng(0), CHANNELS[0], 2)
    with pytest.raises(FinblendError, match="top_photos >= 1 must hold, but got top_photos=0"):
        rank(evidence, np.ones(1), top_photos=0)
    for penalty in (-0.5, float("nan")):
        with pytest.raises(FinblendError, match=f"species_penalty >= 0 must hold, but got species_penalty={penalty}"):
            rank(evidence, np.ones(1), species_penalty=penalty)
    with pytest.raises(FinblendError, match="a species penalty needs the doubt"):
        rank(evidence, np.ones(1), species_penalty=0.5)
