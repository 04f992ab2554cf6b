"""Votes of marks are what the formula says, term by term; the inverted index finds the same photos."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import literal_votes

import postproc.lnbnn.inverted_index as inverted
from cv.errors import FinblendError
from postproc.lnbnn.inverted_index import InvertedIndex
from postproc.lnbnn.votes import ExactIndex, PhotoDescriptors, votes


def drawn(rng: np.random.Generator, photos: int, groups: int, most: int, width: int) -> PhotoDescriptors:
    """Photos of up to `most` unit descriptors each, in groups."""
    counts = rng.integers(0, most + 1, photos)
    array = rng.standard_normal((int(counts.sum()), width))
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    photo = np.repeat(np.arange(photos), counts)
    group = rng.integers(0, groups, photos).astype(np.int32)
    return PhotoDescriptors(descriptors=array.astype(np.float32), photo=photo, group=group[photo])


def rows_of(given_rows: PhotoDescriptors) -> list[tuple[int, int, np.ndarray]]:
    return list(zip(given_rows.photo.tolist(), given_rows.group.tolist(), given_rows.descriptors, strict=True))


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(1, 4), st.integers(1, 5))
def test_votes_are_the_formula_term_by_term(seed: int, photos: int, groups: int, voters: int) -> None:
    """Few descriptors: often there are fewer than k + 1, of one group only, or none at all."""
    rng = np.random.default_rng(seed)
    gallery, queries = drawn(rng, photos, groups, 4, 5), drawn(rng, 4, groups, 3, 5)
    table = votes(ExactIndex(gallery), queries, 4, photos, voters)
    expected = literal_votes(rows_of(gallery), rows_of(queries), voters)
    found = dict(zip(zip(table.query.tolist(), table.gallery.tolist(), strict=True), table.score, strict=True))
    for pair in expected.keys() | found.keys():
        assert abs(found.get(pair, 0.0) - expected.get(pair, 0.0)) < 1e-5
    own = {(query, group) for query, group, _ in rows_of(queries)}
    group_of = dict(zip(gallery.photo.tolist(), gallery.group.tolist(), strict=True))
    assert not [pair for pair in found if (pair[0], group_of[pair[1]]) in own]


def test_votes_worked_by_hand() -> None:
    """One query descriptor at 0 degrees; the gallery's lie at 0, 60 and 90: distances 0, 1 and the root of 2."""
    angle = np.deg2rad([0, 60, 90])
    gallery = PhotoDescriptors(
        descriptors=np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32),
        photo=np.array([3, 5, 5]),
        group=np.zeros(3, np.int32),
    )
    query = PhotoDescriptors(
        descriptors=np.array([[1, 0]], np.float32), photo=np.array([1]), group=np.ones(1, np.int32)
    )
    table = votes(ExactIndex(gallery), query, 2, 6, 2)
    assert table.query.tolist() == [1, 1]
    assert table.gallery.tolist() == [3, 5]
    np.testing.assert_allclose(table.score, [2**0.5, 2**0.5 - 1], atol=1e-6)
    # with one voter, the second is the background
    np.testing.assert_allclose(votes(ExactIndex(gallery), query, 2, 6, 1).score, [1.0], atol=1e-6)
    # fewer than k + 1: the last of all is the background, and of one alone nothing is known
    np.testing.assert_allclose(votes(ExactIndex(gallery), query, 2, 6, 9).score, table.score)
    with pytest.raises(FinblendError, match="voters=0"):
        votes(ExactIndex(gallery), query, 2, 6, 0)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(FinblendError, match="of one length, but are of 2, 1 and 2"):
        PhotoDescriptors(descriptors=np.eye(2, dtype=np.float32), photo=np.zeros(1), group=np.zeros(2))


def test_the_inverted_index_brings_up_the_same_individuals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of 40 animals on 3 photos each, beside marks of nobody: recall of the exact vote's first 20."""
    monkeypatch.setattr(inverted, "CELL", 64)
    rng = np.random.default_rng(0)
    # marks look like one another: 60 kinds
    kinds = rng.standard_normal((60, 24))
    marks = kinds[rng.integers(0, 60, (40, 16))] + 0.5 * rng.standard_normal((40, 16, 24))

    def shown(photos: int, group: int) -> PhotoDescriptors:
        animal = np.arange(photos) % 40
        own = marks[animal] + 0.3 * rng.standard_normal((photos, 16, 24))
        others = kinds[rng.integers(0, 60, (photos, 9))] + 0.5 * rng.standard_normal((photos, 9, 24))
        array = np.concatenate([own, others], axis=1).reshape(-1, 24)
        array /= np.linalg.norm(array, axis=1, keepdims=True)
        photo = np.repeat(np.arange(photos), 25)
        return PhotoDescriptors(
            descriptors=array.astype(np.float32), photo=photo, group=(photo % 3 if group < 0 else 0 * photo + group)
        )

    gallery, queries = shown(120, -1), shown(40, 1)
    assert len(gallery.photo) == 3000
    exact = votes(ExactIndex(gallery), queries, 40, 120).top(20)
    index = InvertedIndex.of(gallery, probes=12)
    quick = votes(index, queries, 40, 120).top(20)
    recall = [np.isin(mine, theirs).mean() for mine, theirs in zip(exact, quick, strict=True)]
    assert np.mean(recall) >= 0.95
    # nobody met their own group
    assert not (gallery.group[np.searchsorted(gallery.photo, quick[quick >= 0])] == 1).any()
    # looking into every cell is all but exact: 8 bits a part
    position, distance = InvertedIndex.of(gallery, probes=10**6).nearest(queries, 1)
    near, sure = ExactIndex(gallery).nearest(queries, 1)
    assert (position == near).mean() > 0.97
    np.testing.assert_allclose(distance, sure, atol=0.05)


def test_beyond_the_exact_size_faiss_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    gallery = drawn(np.random.default_rng(0), 3, 1, 4, 5)
    with pytest.raises(FinblendError, match=r"needs faiss; pip install 'finblend\[marks\]'$") as caught:
        InvertedIndex.of(gallery)
    assert "\n" not in str(caught.value)
