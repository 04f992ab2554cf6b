"""The pair store: what is written comes back, mapped; what has changed or is of other photos is refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from backbones.pair_store import PairManifest, Pairs, PairStore, write_pair_store
from cv.errors import FinblendError

# a split's pairs: (query, gallery) to (score, second, matched points or None)
Told = dict[tuple[int, int], tuple[float, float, Any]]
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
points = st.none() | st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=3)
told_pairs = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 9)), st.tuples(float32, float32 | st.just(np.nan), points), max_size=8
)


def pairs_of(told: Told, has_second: bool = True, has_points: bool = True) -> Pairs:
    keys = sorted(told)
    query, gallery = (np.array([key[side] for key in keys], dtype=np.int32) for side in (0, 1))
    score, second = (np.array([told[key][n] for key in keys], dtype=np.float32) for n in (0, 1))
    kept = [None if (p := told[key][2]) is None else np.array(p, np.float32).reshape(-1, 4) for key in keys]
    return Pairs(
        query=query,
        gallery=gallery,
        score=score,
        second=second if has_second else None,
        points=kept if has_points else None,
    )


TWO = pairs_of({(0, 3): (1.5, 2.0, [(0.1, 0.2, 0.3, 0.4)]), (0, 4): (0.0, 1.0, None), (2, 1): (7.0, 0.0, [])})
NONE = pairs_of({})


def written(folder: Path, train: Pairs = TWO, test: Pairs = NONE, **about: Any) -> PairStore:
    given = {"photos_sha256": "photos", "made": {"features": "sift"}} | about
    return write_pair_store(folder, "marks", {"train": train, "test": test}, **given)


@examples(30)
@given(train=told_pairs, test=told_pairs, second=st.tuples(st.booleans(), st.booleans()), has_points=st.booleans())
def test_round_trip(train: Told, test: Told, second: tuple[bool, bool], has_points: bool) -> None:
    given = {"train": pairs_of(train, second[0], has_points), "test": pairs_of(test, second[1], has_points)}
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder) / "marks", **given, made_by="9.9")
        store = PairStore(Path(folder) / "marks")
        store.check_files()
        store.verify("photos")
        manifest = store.manifest
        assert (manifest.name, manifest.made, manifest.made_by) == ("marks", {"features": "sift"}, "9.9")
        assert manifest.pairs == {"train": len(train), "test": len(test)}
        assert manifest.has_second == any(second)
        for split, whole in given.items():
            found = store.pairs(split)
            assert len(found) == len(whole)
            for name in ("query", "gallery", "score"):
                array = getattr(found, name)
                np.testing.assert_array_equal(array, getattr(whole, name))
                assert array.dtype == getattr(whole, name).dtype
                assert not array.flags.writeable
            assert found.points is None
            if any(second):
                nothing = np.full(len(whole), np.nan, dtype=np.float32)
                np.testing.assert_array_equal(found.second, nothing if whole.second is None else whole.second)
            else:
                assert found.second is None
            for row in range(len(whole)):
                kept, expected = store.points(split, row), None if whole.points is None else whole.points[row]
                assert (kept is None) == (expected is None)
                if expected is not None:
                    np.testing.assert_array_equal(kept, expected)


def test_the_content_is_what_pairs_say_and_nothing_else(tmp_path: Path) -> None:
    one = written(tmp_path / "one").manifest.content_sha256
    assert written(tmp_path / "two", made={"features": "disk"}).manifest.content_sha256 == one
    wide = Pairs(
        query=TWO.query.astype(np.int64), gallery=TWO.gallery, score=TWO.score.astype(float), second=TWO.second
    )
    assert written(tmp_path / "wide", wide).manifest.content_sha256 == one
    others = [
        pairs_of({(0, 3): (1.5, 2.0, None)}),
        Pairs(query=TWO.query, gallery=TWO.gallery, score=TWO.score),
        Pairs(query=TWO.query, gallery=TWO.gallery, score=TWO.score + 1, second=TWO.second),
        Pairs(query=TWO.query, gallery=TWO.gallery + 1, score=TWO.score, second=TWO.second),
    ]
    told = {written(tmp_path / f"other-{n}", each).manifest.content_sha256 for n, each in enumerate(others)}
    assert len(told - {one}) == len(others)
    assert written(tmp_path / "turned", NONE, TWO).manifest.content_sha256 != one


def test_a_second_writing_takes_the_place_of_the_first(tmp_path: Path) -> None:
    written(tmp_path / "marks")
    written(tmp_path / "marks", NONE, NONE)
    assert len(PairStore(tmp_path / "marks").pairs("train")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marks"]
    # and one that is refused leaves it alone
    turned = Pairs(query=TWO.query[::-1], gallery=TWO.gallery, score=TWO.score)
    with pytest.raises(FinblendError, match=r"marks: pair 1 of train, \(0, 4\), must stand behind the one before it"):
        written(tmp_path / "marks", turned)
    assert len(PairStore(tmp_path / "marks").pairs("train")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marks"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_pair_that_stands_twice_is_refused(tmp_path: Path, split: str) -> None:
    twice = Pairs(query=np.array([3, 3]), gallery=np.array([5, 5]), score=np.zeros(2, np.float32))
    with pytest.raises(FinblendError, match=rf"marks: pair 1 of {split}, \(3, 5\)"):
        written(tmp_path / "marks", **{"train": NONE, split: twice})


@pytest.mark.parametrize("name", ["gallery", "score", "second", "points"])
def test_columns_of_other_lengths_are_refused(name: str) -> None:
    columns: dict[str, Any] = {"query": TWO.query, "gallery": TWO.gallery, "score": TWO.score, name: np.zeros(2)}
    with pytest.raises(FinblendError, match="3 pairs need as many gallery rows, scores and points"):
        Pairs(**columns)


def test_files_that_have_changed_are_refused(tmp_path: Path) -> None:
    store = written(tmp_path / "marks")
    path = tmp_path / "marks" / "train.arrow"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(np.float32(7.0).tobytes(), np.float32(9.0).tobytes()))
    with pytest.raises(FinblendError, match=r"train\.arrow: has changed since it was written"):
        store.check_files()
    path.unlink()
    with pytest.raises(FinblendError, match=r"train\.arrow: cannot be read"):
        store.check_files()
    for broken in (b"", b"nonsense", raw[:100]):
        path.write_bytes(broken)
        with pytest.raises(FinblendError, match=r"train\.arrow: cannot be read .*; match or register") as refusal:
            PairStore(tmp_path / "marks").pairs("train")
        assert "\n" not in str(refusal.value)


def test_pairs_of_other_photos_are_refused(tmp_path: Path) -> None:
    store = written(tmp_path / "marks")
    with pytest.raises(FinblendError, match="marks: was made for other photos, individuals or folds"):
        store.verify("others")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": "red"}, "is not a manifest of pairs in format 1"),
        ({"format": 2}, "is not a manifest of pairs in format 1"),
        ({"format": None}, "is not a manifest of pairs in format 1"),
        ({"files": None}, "files must be a dict, but got None"),
        ({"pairs": 3}, "pairs must be a dict, but got 3"),
        ({"has_second": "yes"}, "has_second must be a bool, but got 'yes'"),
        ({"content_sha256": None}, "content_sha256 must be a str, but got None"),
        ({"name": ...}, "is incomplete .*'name'"),
    ],
)
def test_manifests_that_are_none_are_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    written(tmp_path / "marks")
    path = tmp_path / "marks" / "manifest.json"
    value = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: inner for key, inner in value.items() if inner is not ...}))
    with pytest.raises(FinblendError, match=rf"manifest\.json: {told}"):
        PairManifest.load(path)


@pytest.mark.parametrize(("text", "told"), [("[]", "is not a manifest"), ("{", "is not valid JSON")])
def test_files_that_are_no_manifest_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FinblendError, match=rf"manifest\.json: {told}"):
        PairManifest.load(tmp_path / "manifest.json")
