"""Who meets whom, against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from cv.errors import FinblendError
from postproc import NOBODY, Gallery
from postproc.evidence.gallery import NO_GROUP


@examples(100)
@given(seed=st.integers(0, 100_000))
def test_counts_are_those_of_counting_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, asked, people = int(rng.integers(1, 25)), int(rng.integers(1, 12)), int(rng.integers(1, 7))
    labels = rng.integers(0, people, n).astype(np.int32)
    labels[0] = people - 1
    groups = rng.integers(NOBODY, 6, n).astype(np.int32)
    query_groups = rng.choice([NO_GROUP, *range(8)], asked).astype(np.int32)
    selves = np.where(rng.random(asked) < 0.5, rng.integers(0, n, asked), NOBODY).astype(np.int32)
    # a photo that a query is, is one that it would meet otherwise
    selves[(selves >= 0) & (groups[selves] == query_groups)] = NOBODY
    gallery = Gallery(labels, groups, selves, query_groups)
    rows = rng.integers(0, asked, 9)
    individual = rng.integers(0, people, (9, 4))
    met = [[g for g in range(n) if groups[g] != query_groups[q]] for q in rows]
    assert gallery.n_met(rows).tolist() == [len(own) for own in met]
    assert gallery.people_met(rows).tolist() == [len({labels[g] for g in own}) for own in met]
    expected = [
        [sum(labels[g] == who and g != selves[q] for g in own) for who in asked_of]
        for q, own, asked_of in zip(rows, met, individual, strict=True)
    ]
    assert gallery.photos_met(rows, individual).tolist() == expected
    assert gallery.photos_met(rows, individual[:, 0]).tolist() == [each[0] for each in expected]


def test_without_groups_everybody_meets_all() -> None:
    gallery = Gallery(np.array([0, 1, 1]))
    assert gallery.photos_met(np.arange(2), np.array([0, 1])).tolist() == [1, 2]
    assert gallery.n_met(np.arange(2)).tolist() == [3, 3]
    assert gallery.people_met(np.arange(2)).tolist() == [2, 2]
    with pytest.raises(FinblendError, match="go with groups"):
        Gallery(np.array([0]), query_groups=np.array([0]))
