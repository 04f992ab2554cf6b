"""What is written is read again, row by row; a store that is not whole is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spots import built, photos_of

from backbones.local_features import FeatureStore, LocalFeatures, extract_features
from backbones.local_features.parts import decoded, digest_of, encoded, read_part, record_batch, write_part
from cv import FinblendError


@st.composite
def photo_features(draw: st.DrawFn, width: int = 5) -> LocalFeatures:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, 6))
    # heavy tails: a few large parts beside small ones
    rows = rng.standard_t(2, (n, width))
    places = np.column_stack([rng.uniform(0, 4096, (n, 2)), rng.uniform(0, 90, n), rng.uniform(0, 359, n)])
    return LocalFeatures.strongest(places, rows / np.linalg.norm(rows, axis=1, keepdims=True), rng.gamma(1, 50, n), n)


@given(st.lists(photo_features(), max_size=5))
def test_parts_keep_places_exactly_and_descriptors_nearly(
    tmp_path_factory: pytest.TempPathFactory, each: list[LocalFeatures]
) -> None:
    path = tmp_path_factory.mktemp("part") / "p.arrow"
    names = [f"{row}.jpg" for row in range(len(each))]
    batch = record_batch(names, each, [(3, 4)] * len(each), [(False, "")] * len(each), 5)
    write_part(path, batch)
    read = read_part(path, names)
    assert read is not None
    assert digest_of(read) == digest_of(batch)
    assert read_part(path, [*names, "more.jpg"]) is None
    for row, features in enumerate(each):
        kept = np.array(read.column("keypoints")[row].as_py(), np.float32).reshape(-1, 4)
        np.testing.assert_array_equal(kept, features.keypoints)
        codes = np.array(read.column("descriptors")[row].as_py(), np.int8).reshape(-1, 5)
        # half a step of 1/127 of the largest part, in each of 5 parts
        np.testing.assert_allclose(decoded(codes), features.descriptors, atol=5**0.5 / 254 + 1e-6)
        np.testing.assert_allclose(read.column("scores")[row].as_py(), features.scores, rtol=1e-3, atol=1e-7)


def test_codes_of_descriptors_are_stretched_to_127() -> None:
    rows = np.array([[0.6, -0.8], [1, 0]], np.float32)
    assert encoded(rows).tolist() == [[95, -127], [127, 0]]
    np.testing.assert_allclose(decoded(encoded(rows)), rows, atol=0.003)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """Parts of two photos: three in train, two in test."""
    built(monkeypatch)
    monkeypatch.setattr("backbones.local_features.extract.PART", 2)
    spots = [[(3, 4, 200), (30, 20, 250)], [], [(7, 8, 180)], [(1, 2, 220), (3, 4, 210), (5, 6, 160)], [(9, 9, 255)]]
    return extract_features(photos_of(tmp_path / "photos", spots, 3), "spots", 10, tmp_path / "features" / "spots")


def test_rows_are_photos(store: FeatureStore) -> None:
    assert store.images("train") == ["0.png", "1.png", "2.png"]
    assert store.counts("train").tolist() == [2, 0, 1]
    assert store.counts("test").tolist() == [3, 1]
    assert store.photo_sizes("test").tolist() == [[60, 80], [60, 80]]
    assert (store.width, store.views) == (2, ["orig"])
    # the strongest first
    assert store.of_photo("train", 0).keypoints.tolist() == [[30, 20, 4, -1], [3, 4, 4, -1]]
    assert store.of_photo("train", 0).scores.tolist() == [250, 200]
    assert len(store.of_photo("train", 1)) == 0
    assert store.manifest.features == {"train": 3, "test": 4}
    assert store.manifest.photos == {"train": 3, "test": 2}


def test_many_photos_at_once_are_told_with_their_rows(store: FeatureStore) -> None:
    descriptors, rows = store.descriptors("train", [2, 1, 0])
    assert rows.tolist() == [2, 0, 0]
    assert store.keypoints("train", [2, 1, 0])[:, 0].tolist() == [7, 30, 3]
    angle = 100 / 255 * np.pi
    np.testing.assert_allclose(descriptors, [[np.cos(angle), np.sin(angle)]] * 3, atol=0.004)
    assert descriptors.dtype == np.float32
    assert store.descriptors("train", [])[0].shape == (0, 2)
    assert store.descriptors("test", np.arange(2))[1].tolist() == [0, 0, 0, 1]


def test_only_its_own_photos_in_its_own_order_pass(store: FeatureStore) -> None:
    store.verify({"train": ["0.png", "1.png", "2.png"], "test": ["3.png", "4.png"]})
    with pytest.raises(FinblendError, match="test photos are not the catalogue's"):
        store.verify({"test": ["4.png", "3.png"]})
    with pytest.raises(FinblendError, match="no train photos in view 'hflip'"):
        store.counts("train", "hflip")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"format": 2}, "format 2, this finblend reads 1"),
        ({"views": "orig"}, "views must be a list"),
        ({"photos": 3}, "photos must be a dict"),
        ({"width": None}, "width must be a int"),
        ({"photos": {"train": 9, "test": 2}}, "holds 3 photos"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(store: FeatureStore, change: dict[str, object], told: str) -> None:
    path = store.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FinblendError, match=told) as caught:
        FeatureStore(store.folder).counts("train")
    assert "\n" not in str(caught.value)


def test_files_that_were_changed_are_refused(store: FeatureStore) -> None:
    store.check_files()
    path = store.folder / "test-orig.arrow"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FinblendError, match=r"test-orig\.arrow: has changed"):
        store.check_files()
    with pytest.raises(FinblendError, match=r"test-orig\.arrow: cannot be read .* extract the features again"):
        FeatureStore(store.folder).counts("test")
    (store.folder / "manifest.json").write_text("[]")
    with pytest.raises(FinblendError, match="is not the manifest"):
        FeatureStore(store.folder).counts("test")
