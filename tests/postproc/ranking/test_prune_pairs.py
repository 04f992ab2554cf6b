"""Pruned evidence has what the second stage asks of pair sources; scores are so coarse that ties abound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from paired import with_random_pairs
from scenes import CHANNELS, one_thread, random_evidence, random_species, random_weights, same_ranking  # noqa: F401

from postproc import Evidence, rank
from postproc.evidence.evidence import MAX_TOP_PHOTOS
from postproc.ranking.prune import prune
from postproc.ranking.ranking import DEPTH
from postproc.second_stage.candidates import FURTHER, candidates_of
from postproc.second_stage.candidates_kernels import SUM

PEOPLE, N = 25, 3


def best_of_groups(evidence: Evidence, columns: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """The best `MAX_TOP_PHOTOS` numbers of each query's individuals in each column, -inf where there are fewer."""
    out = {}
    query = np.repeat(np.arange(evidence.n_queries), np.diff(evidence.group_start))
    for g, who in enumerate(evidence.individual):
        own = np.where(np.isnan(columns), -np.inf, columns)[evidence.photo_start[g] : evidence.photo_start[g + 1]]
        own = np.concatenate([own, np.full((MAX_TOP_PHOTOS, own.shape[1]), -np.inf)])
        out[int(query[g]), int(who)] = -np.sort(-own, axis=0)[:MAX_TOP_PHOTOS]
    return out


@examples(100)
@given(
    seed=st.integers(0, 100_000),
    channels=st.sampled_from(CHANNELS),
    agreement=st.sampled_from([0.0, 0.9]),
    sources=st.integers(1, 2),
)
def test_pruning_keeps_what_every_pair_column_says_most_of(
    seed: int, channels: list[list[int]], agreement: float, sources: int
) -> None:
    rng = np.random.default_rng(seed)
    plain = random_evidence(rng, channels, N, people=PEOPLE, photos=8, unseen=1, agreement=agreement)
    evidence, species = with_random_pairs(rng, plain, sources), random_species(rng, N, PEOPLE)
    pruned = prune(evidence, species.mismatch, species.of_individual)
    assert pruned.pairs is not None
    # each photo keeps its own numbers
    place = {int(photo): p for p, photo in enumerate(evidence.photo)}
    at = [place[int(photo)] for photo in pruned.photo]
    np.testing.assert_array_equal(pruned.pairs, evidence.pairs[at])
    # an individual that stays has its best photos in every column
    whole, left = best_of_groups(evidence, evidence.pairs), best_of_groups(pruned, pruned.pairs)
    for key, best in left.items():
        np.testing.assert_array_equal(best, whole[key])
    # and as good ones stand in the first places by every column
    for q in range(N):
        of_query, of_left = ([best[0] for (i, _), best in each.items() if i == q] for each in (whole, left))
        if of_query:
            ranked, ranked_left = (-np.sort(-np.stack(each), axis=0)[:DEPTH] for each in (of_query, of_left))
            np.testing.assert_array_equal(ranked[: len(ranked_left)], ranked_left)
            assert len(ranked) == len(ranked_left)
    # for the blend, pairs only keep more
    for weights in (random_weights(rng, len(channels)), np.eye(len(channels))[0]):
        one, other = (rank(each, weights, species_penalty=0.25, species=species) for each in (evidence, pruned))
        assert same_ranking(one, other)


@examples(40)
@given(seed=st.integers(0, 100_000), channels=st.sampled_from(CHANNELS), agreement=st.sampled_from([0.0, 0.9]))
def test_the_first_candidates_of_pruned_evidence_are_those_of_the_whole(
    seed: int, channels: list[list[int]], agreement: float
) -> None:
    rng = np.random.default_rng(seed)
    plain = random_evidence(rng, channels, N, people=PEOPLE, photos=8, unseen=1, agreement=agreement)
    evidence, species = with_random_pairs(rng, plain, 1), random_species(rng, N, PEOPLE)
    # a tie is nobody's: scores and blends that differ
    pairs = evidence.pairs
    assert pairs is not None
    pairs += rng.uniform(0, 0.01, pairs.shape).astype(np.float32)
    similarity = evidence.similarity + rng.uniform(0, 0.01, evidence.similarity.shape).astype(np.float32)
    evidence = replace(evidence, similarity=similarity)
    pruned = prune(evidence, species.mismatch, species.of_individual)
    weights = rng.dirichlet(np.ones(len(channels)))[None]
    # the blend's two best and the best `FURTHER` others: all within the first `DEPTH` of a list
    places = DEPTH - FURTHER
    one, other = (
        candidates_of(each, weights, np.zeros(N, dtype=int), species, 0.25, places) for each in (evidence, pruned)
    )
    for name in ("individual", "photo"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.similarity, other.similarity)
    # the sum is of the photos that are left
    np.testing.assert_array_equal(one.pairs[..., :SUM], other.pairs[..., :SUM])
