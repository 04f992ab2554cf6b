"""Matched points are found by pair, whatever the pairs: against a dict."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backbones.pair_store import Pairs, PairStore, write_pair_store
from ensemble.registry.matched_points import MatchedPoints

ROWS = 6
# (query, gallery) -> how many points are kept of the pair, None where none are
TABLES = st.dictionaries(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)), st.none() | st.integers(0, 3), max_size=20
)


def points_of(query: int, gallery: int, count: int) -> np.ndarray:
    """Points that tell their pair."""
    return np.array([[query / 10, gallery / 10, k / 10, 0.5] for k in range(count)], dtype=np.float32).reshape(-1, 4)


def written(folder: Path, name: str, tables: dict[str, dict], inliers: float, how: str = "match") -> PairStore:
    splits = {}
    for split, table in tables.items():
        keys = sorted(table)
        query, gallery = (np.array([key[k] for key in keys], dtype=np.int32) for k in (0, 1))
        splits[split] = Pairs(
            query=query,
            gallery=gallery,
            score=np.ones(len(keys), np.float32),
            second=np.full(len(keys), inliers, np.float32),
            points=[None if table[key] is None else points_of(*key, table[key]) for key in keys],
        )
    return write_pair_store(folder / name, name, splits, photos_sha256="x", made={"how": how})


@given(train=TABLES, test=TABLES)
@settings(max_examples=25, deadline=None)
def test_every_pair_has_its_own_points_and_others_have_none(train: dict, test: dict) -> None:
    with TemporaryDirectory() as folder:
        tables = {"train": train, "test": test}
        found = MatchedPoints({"sift": written(Path(folder), "sift", tables, np.nan)})
        for split, table in tables.items():
            for query in range(ROWS + 1):
                for gallery in range(ROWS + 1):
                    matched, count = found.of(split, query, gallery), table.get((query, gallery))
                    if not count:
                        assert matched is None
                    else:
                        assert matched is not None
                        assert (matched.source, matched.count) == ("sift", count)
                        np.testing.assert_array_equal(matched.points, points_of(query, gallery, count))


def test_the_source_with_most_points_speaks_and_only_a_verified_number_counts(tmp_path: Path) -> None:
    tables = {"train": {(0, 1): 2}, "test": {(0, 1): 2}}
    few = written(tmp_path, "few", tables, 57.0)
    many = written(tmp_path, "many", {"train": {(0, 1): 3}, "test": {(0, 1): 1}}, 99.0, "by hand")
    both = MatchedPoints({"few": few, "many": many})
    train, test = both.of("train", 0, 1), both.of("test", 0, 1)
    assert train is not None
    assert test is not None
    assert (train.source, train.count) == ("many", 3)
    assert (test.source, test.count) == ("few", 57)
    assert MatchedPoints({}).of("train", 0, 1) is None
