"""Species votes and mismatches, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postproc import NOBODY, Neighbours, given_species, species_mismatch, vote_species
from postproc.evidence.species import VOTERS


def lists(rows: list[list[int]]) -> Neighbours:
    """Neighbours of falling similarity."""
    index = np.array(rows, dtype=np.int32)
    similarity = np.linspace(1, 0, index.shape[1], dtype=np.float32) * np.ones_like(index, dtype=np.float32)
    return Neighbours(index, np.where(index == NOBODY, -np.inf, similarity).astype(np.float32))


def test_the_jth_nearest_counts_one_jth_in_every_list() -> None:
    species = np.array([0, 1, 2, 1])
    votes = vote_species([lists([[0, 1, 2]]), lists([[3, 0, 1]])], species, 4)
    # species 0: 1 + 1/2; species 1: 1/2 + 1 + 1/3; species 2: 1/3; together 11/3
    assert votes.dtype == np.float32
    assert votes.tolist() == [pytest.approx([1.5 * 3 / 11, (11 / 6) * 3 / 11, 1 / 11, 0.0], abs=1e-7)]


def test_ten_vote_and_no_more() -> None:
    assert VOTERS == 10
    species = np.array([0] * 10 + [1] * 5)
    assert vote_species([lists([list(range(15))])], species, 2).tolist() == [[1.0, 0.0]]
    late = np.array([0] * 9 + [1] * 6)
    tenth = 0.1 / sum(1 / j for j in range(1, 11))
    assert vote_species([lists([list(range(15))])], late, 2).tolist() == [pytest.approx([1 - tenth, tenth], abs=1e-7)]


def test_missing_neighbours_do_not_vote() -> None:
    species = np.array([0, 1])
    near = lists([[1, NOBODY, NOBODY], [NOBODY, NOBODY, NOBODY], [0, 1, NOBODY]])
    votes = vote_species([near], species, 2)
    assert votes.tolist() == [[0.0, 1.0], [0.0, 0.0], pytest.approx([2 / 3, 1 / 3], abs=1e-7)]


@given(seed=st.integers(0, 10_000), k=st.integers(1, 14), sources=st.integers(1, 3))
def test_votes_equal_a_count_with_loops(seed: int, k: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    species = rng.integers(0, 4, 20)
    nearest = [lists(rng.integers(-1, 20, (3, k)).tolist()) for _ in range(sources)]
    got = vote_species(nearest, species, 4)
    for q in range(3):
        count = [0.0] * 4
        for near in nearest:
            for place, photo in enumerate(near.index[q, :10].tolist(), start=1):
                if photo != NOBODY:
                    count[species[photo]] += 1 / place
        total = sum(count) or 1.0
        assert got[q].tolist() == pytest.approx([c / total for c in count], abs=1e-6)


def test_mismatch_is_the_distance_to_the_likeliest_species() -> None:
    shares = np.array([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0]], dtype=np.float32)
    mismatch = species_mismatch(shares)
    assert mismatch.dtype == np.float32
    assert mismatch.tolist() == [[0.0, 0.5, 0.5, 1.0], [1.0, 1.0, 0.0, 1.0]]


def test_without_a_vote_there_is_no_mismatch_of_any_species() -> None:
    # nothing is known, so nobody is held back
    assert species_mismatch(np.zeros((1, 3), dtype=np.float32)).tolist() == [[0.0, 0.0, 0.0]]


def test_a_given_species_is_certain_and_the_vote_stays_where_none_is_given() -> None:
    shares = np.array([[0.25, 0.75], [0.25, 0.75], [0.0, 0.0]], dtype=np.float32)
    before = shares.copy()
    got = given_species(np.array([0, -1, 1]), shares)
    assert got.tolist() == [[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]]
    assert (shares == before).all()
    assert species_mismatch(got).tolist() == [[0.0, 1.0], pytest.approx([2 / 3, 0.0]), [1.0, 0.0]]
