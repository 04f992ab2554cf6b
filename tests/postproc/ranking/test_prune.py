"""Pruned evidence ranks as the whole does, for every blend; similarities are so coarse that ties abound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    CHANNELS,
    one_thread,  # noqa: F401
    random_evidence,
    random_species,
    random_weights,
    same_ranking,
)

from postproc import Evidence, rank
from postproc.evidence.evidence import CLEAR, MAX_TOP_PHOTOS
from postproc.ranking.prune import prune
from postproc.ranking.rank import Species

PEOPLE = 25


def drawn(seed: int, channels: list[list[int]], agreement: float) -> tuple[np.random.Generator, Evidence, Species]:
    """Evidence of three queries with up to 25 candidates of up to 8 photos, and their species."""
    rng = np.random.default_rng(seed)
    evidence = random_evidence(
        rng, channels, 3, people=PEOPLE, photos=8, unseen=1, searched_species=seed % 2 == 0, agreement=agreement
    )
    return rng, evidence, random_species(rng, 3, PEOPLE)


@examples(250)
@given(
    seed=st.integers(0, 100_000),
    channels=st.sampled_from(CHANNELS),
    agreement=st.sampled_from([0.0, 0.5, 0.9]),
    top_photos=st.integers(1, 3),
    penalty=st.sampled_from([0.0, 0.25, 0.3, 4.0, 50.0]),
)
def test_pruned_evidence_ranks_as_the_whole(
    seed: int, channels: list[list[int]], agreement: float, top_photos: int, penalty: float
) -> None:
    rng, evidence, species = drawn(seed, channels, agreement)
    pruned = prune(evidence, species.mismatch, species.of_individual)
    shares = rng.dirichlet(np.ones(len(channels)))  # sums of sixteenths that are not exact
    for weights in (random_weights(rng, len(channels)), shares, np.eye(len(channels))[seed % len(channels)]):
        one, other = (
            rank(e, weights, top_photos=top_photos, species_penalty=penalty, species=species)
            for e in (evidence, pruned)
        )
        assert same_ranking(one, other)
    # and once pruned there is nothing left to prune
    again = prune(pruned, species.mismatch, species.of_individual)
    assert all(np.array_equal(array, pruned.arrays()[name]) for name, array in again.arrays().items())


@pytest.mark.parametrize(("agreement", "share"), [(0.0, 0.82), (0.9, 0.57)])
def test_the_more_sources_agree_the_more_is_pruned(agreement: float, share: float) -> None:
    whole, pruned = 0, 0
    for seed in range(20):
        _, evidence, species = drawn(seed, CHANNELS[1], agreement)
        whole += len(evidence.photo)
        pruned += len(prune(evidence, species.mismatch, species.of_individual).photo)
    assert pruned / whole == pytest.approx(share, abs=0.01)


def one_query(similarity: list[list[list[float]]], unseen: int = 0) -> Evidence:
    """Evidence of one query: similarity[individual][photo][column], one view."""
    count = np.array([len(photos) for photos in similarity])
    values = np.array([photo for photos in similarity for photo in photos], dtype=np.float32)
    columns = values.shape[1]
    return Evidence(
        sources=tuple("abc"[:columns]),
        channels=np.arange(columns, dtype=np.int32)[:, None],
        group_start=np.array([0, len(count)]),
        individual=np.arange(len(count), dtype=np.int32),
        gallery_photos=(count + unseen).astype(np.int32),
        photo_start=np.append(0, np.cumsum(count)),
        photo=np.arange(100, 100 + len(values), dtype=np.int32),
        similarity=values,
        unseen_upper_bound=np.zeros((1, columns), np.float32),
    )


def kept(evidence: Evidence, mismatch: list[float] | None = None) -> tuple[list[int], list[int]]:
    """Individuals and photos (from 0) that are left; each individual is of its own species."""
    n = len(evidence.individual)
    mismatches = np.array([[0.0] * n if mismatch is None else mismatch], dtype=np.float32)
    pruned = prune(evidence, mismatches, np.arange(n, dtype=np.int32))
    return pruned.individual.tolist(), (pruned.photo - 100).tolist()


def test_photos_that_three_others_of_the_individual_exceed_are_left_out() -> None:
    photos = [[0.5, 0.5], [0.75, 0.25], [0.25, 0.25], [0.75, 0.75], [0.5, 0.75], [0.0, 0.9]]
    # 0.25, 0.25 is exceeded by four; 0.5, 0.5 by two; the last by none in the second source
    assert kept(one_query([photos]))[1] == [0, 1, 3, 4, 5]
    evidence = one_query([photos], unseen=2)
    pruned = prune(evidence, np.zeros((1, 1), np.float32), np.zeros(1, np.int32))
    # as many are unseen as before
    assert pruned.gallery_photos.tolist() == [7]
    assert pruned.gallery_photos[0] - len(pruned.photo) == evidence.gallery_photos[0] - len(evidence.photo) == 2


def test_of_equal_photos_the_first_three_stay() -> None:
    assert MAX_TOP_PHOTOS == 3
    assert kept(one_query([[[0.5]] * 5]))[1] == [0, 1, 2]
    # a lead that float32 scores may lose does not count against an earlier photo
    close = [[0.5], [0.5 + float(CLEAR) / 2], [0.5 + float(CLEAR) / 2], [0.5 + float(CLEAR) / 2]]
    assert kept(one_query([close]))[1] == [0, 1, 2, 3]


def test_individuals_that_seven_others_exceed_are_left_out() -> None:
    first, weak = [[0.5, 0.5]], [[0.25, 0.25]]
    assert kept(one_query([weak, *[first] * 7]))[0] == [1, 2, 3, 4, 5, 6, 7]
    assert kept(one_query([weak, *[first] * 6]))[0] == list(range(7))
    # better in one source
    assert kept(one_query([[[0.25, 0.75]], *[first] * 7]))[0] == list(range(8))
    # level, but first by label
    assert kept(one_query([first] * 9))[0] == [0, 1, 2, 3, 4, 5, 6]


def test_an_individual_with_unseen_photos_is_exceeded_by_as_many_photos_as_a_mean_can_need() -> None:
    weak, first, twice = [[0.25]], [[0.5]], [[0.5], [0.5]]
    # a mean of two needs two photos above; one of them may be unseen and lower
    assert kept(one_query([weak, *[first] * 7], unseen=1))[0] == list(range(8))
    assert kept(one_query([weak, *[twice] * 7], unseen=0))[0] == list(range(1, 8))
    assert kept(one_query([weak, *[twice] * 7], unseen=1))[0] == list(range(8))
    assert kept(one_query([weak, *[[[0.5]] * 3] * 7], unseen=5))[0] == list(range(1, 8))


def test_nobody_is_left_out_for_those_of_a_less_likely_species() -> None:
    evidence = one_query([[[0.25]], *[[[0.5]]] * 7])
    assert kept(evidence, [0.5] + [0.5] * 7)[0] == list(range(1, 8))
    assert kept(evidence, [0.5] + [0.5] * 6 + [0.75])[0] == list(range(8))
    assert kept(evidence, [0.5] + [0.25] * 7)[0] == list(range(1, 8))


@pytest.mark.parametrize("n", [0, 2])
def test_queries_without_candidates_stay_without(n: int) -> None:
    empty = random_evidence(np.random.default_rng(0), CHANNELS[0], n, people=0)
    pruned = prune(empty, np.zeros((n, 1), np.float32), np.zeros(1, np.int32))
    assert pruned.n_queries == n
    assert len(pruned.photo) == len(pruned.individual) == 0
    assert all(np.array_equal(a, b) for a, b in zip(pruned.arrays().values(), empty.arrays().values(), strict=True))


def test_the_upper_bounds_stay() -> None:
    _, evidence, species = drawn(0, CHANNELS[2], 0.5)
    pruned = prune(evidence, species.mismatch, species.of_individual)
    assert evidence.species_upper_bound is not None
    assert np.array_equal(pruned.unseen_upper_bound, evidence.unseen_upper_bound)
    assert np.array_equal(pruned.species_upper_bound, evidence.species_upper_bound)
    plain = dataclasses.replace(evidence, species_upper_bound=None)
    assert prune(plain, species.mismatch, species.of_individual).species_upper_bound is None
