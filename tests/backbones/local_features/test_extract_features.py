"""Extraction goes on where it was killed, keeps to the boxes, and tells places in the photo's own pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spots import built, paint, photos_of

from backbones.local_features import FeatureStore, LocalPhotos, extract_features
from backbones.photos import Box
from backbones.testing.local_features import LocalFeatureContract
from cv import FinblendError

SPOTS = [[(10 + row, 20, 200), (50, 5 + row, 250)] for row in range(7)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPhotos:
    monkeypatch.setattr("backbones.local_features.extract.PART", 2)
    return photos_of(tmp_path / "photos", SPOTS, 4)


def content(store: FeatureStore) -> list[object]:
    return [store.of_photo(split, row).keypoints.tolist() for split in ("train", "test") for row in range(3)]


def test_a_run_that_was_killed_goes_on(photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(monkeypatch)
    whole = extract_features(photos, "spots", 5, tmp_path / "at once")
    folder = tmp_path / "killed"
    built(monkeypatch, dies_after=5)
    with pytest.raises(KeyboardInterrupt):
        extract_features(photos, "spots", 5, folder)
    assert not (folder / "manifest.json").exists()
    made = built(monkeypatch)
    told: list[tuple[int, int]] = []
    store = extract_features(photos, "spots", 5, folder, progress=lambda done, total: told.append((done, total)))
    # two parts of two photos were done; the fifth photo's part was not
    assert len(made[0].seen) == 3
    assert told == [(4, 7), (2, 7), (1, 7)]
    assert content(store) == content(whole)
    assert store.content_sha256 == whole.content_sha256
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "test-orig.arrow", "train-orig.arrow"]


def test_a_broken_part_is_made_again(photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    built(monkeypatch, dies_after=6)
    with pytest.raises(KeyboardInterrupt):
        extract_features(photos, "spots", 5, folder)
    first, second, third = sorted((folder / "parts").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    flipped = bytearray(second.read_bytes())
    # one bit of a place; Arrow itself has no checksum
    flipped[flipped.index(np.float32(50).tobytes()) + 2] ^= 4
    second.write_bytes(flipped)
    third.write_bytes(b"")
    made = built(monkeypatch)
    store = extract_features(photos, "spots", 5, folder)
    assert len(made[0].seen) == 7
    assert store.counts("train").tolist() == [2] * 4


@pytest.mark.parametrize("change", ["fingerprint", "keypoints", "file", "box"])
def test_what_another_run_made_is_not_used(
    photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "store"
    built(monkeypatch)
    extract_features(photos, "spots", 5, folder)
    made = built(monkeypatch)
    assert extract_features(photos, "spots", 5, folder).counts("train").tolist() == [2] * 4
    assert made[0].seen == []
    made = built(monkeypatch, **({"fingerprint": "spots 2"} if change == "fingerprint" else {}))
    if change == "file":
        paint(Path(str(photos.files[0])), [(1, 1, 199)])
    if change == "box":
        photos = replace(photos, boxes=[Box(0, 0, 40, 60), *photos.boxes[1:]])
    store = extract_features(photos, "spots", 1 if change == "keypoints" else 5, folder)
    assert len(made[0].seen) == 7
    assert store.counts("train").tolist()[0] == (2 if change == "fingerprint" else 1)


def test_the_old_store_stays_until_the_new_one_is_whole(
    photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(monkeypatch)
    old = extract_features(photos, "spots", 5, tmp_path / "store")
    built(monkeypatch, fingerprint="spots 2", dies_after=3)
    with pytest.raises(KeyboardInterrupt):
        extract_features(photos, "spots", 5, tmp_path / "store")
    again = FeatureStore(old.folder)
    again.check_files()
    assert again.manifest.fingerprint == "spots 1"
    assert content(again) == content(old)


def test_photos_that_cannot_be_read_have_no_features_and_a_reason(
    photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(monkeypatch)
    Path(str(photos.files[1])).write_text("no photo")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    noise.save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-900])
    files = [
        photos.files[0],
        photos.files[1],
        str(tmp_path / "cut.jpg"),
        *photos.files[3:5],
        None,
        str(tmp_path / "gone.png"),
    ]
    photos = replace(photos, files=files, problems={"5.png": "ambiguous: two of them"})
    store = extract_features(photos, "spots", 5, tmp_path / "store")
    assert store.counts("train")[[0, 1, 3]].tolist() == [2, 0, 2]
    assert store.counts("test").tolist() == [2, 0, 0]
    assert store.photo_sizes("train")[2].tolist() == [60, 80]
    assert store.manifest.notes == {"2.png": "truncated: shown as far as it goes"}
    assert store.photo_sizes("test").tolist() == [[60, 80], [0, 0], [0, 0]]
    assert store.manifest.unreadable == {
        "1.png": "unreadable: not a photo in any format known here",
        "5.png": "ambiguous: two of them",
        "6.png": "unreadable: No such file or directory",
    }


def test_in_a_box_the_strongest_are_kept_and_places_are_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(monkeypatch)
    # the box, 20 ... 60 by 10 ... 30, is 2 and 1 wider for places, and 6 and 3 for what is seen
    spots = [(40, 20, 180), (18, 9, 170), (61, 30, 190), (30, 12, 160), (17, 20, 255), (40, 32, 250), (5, 5, 255)]
    photos = photos_of(tmp_path / "photos", [spots, spots], 1)
    photos = replace(photos, boxes=[Box(20, 10, 60, 30), Box(0.25, 1 / 6, 0.75, 0.5, relative=True)])
    store = extract_features(photos, "spots", 4, tmp_path / "store", mirrored=True)
    assert made[0].keypoints == 6
    assert set(made[0].seen) == {(26, 52)}
    inside = [[61, 30], [40, 20], [18, 9], [30, 12]]
    assert store.of_photo("train", 0).keypoints[:, :2].tolist() == inside
    assert store.of_photo("test", 0).keypoints[:, :2].tolist() == inside
    assert store.of_photo("test", 0, "hflip").keypoints[:, :2].tolist() == [[79 - x, y] for x, y in inside]
    assert store.manifest.boxes == {"train": 1, "test": 1}
    fewer = extract_features(photos, "spots", 3, tmp_path / "fewer")
    assert fewer.of_photo("train", 0).keypoints[:, :2].tolist() == inside[:3]


def test_mirrored_photos_are_a_view_of_their_own(
    photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(monkeypatch)
    store = extract_features(photos, "spots", 5, tmp_path / "store", mirrored=True)
    assert store.views == ["orig", "hflip"]
    for row in range(4):
        places = store.of_photo("train", row).keypoints
        mirrored = store.of_photo("train", row, "hflip").keypoints
        np.testing.assert_array_equal(mirrored, np.column_stack([79 - places[:, 0], places[:, 1:]]))
    assert store.manifest.features == {"train": 16, "test": 12}


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_large_photos_are_seen_smaller_and_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = built(monkeypatch)
    photo = np.full((1540, 2300, 3), 90, np.uint8)
    photo[400:412, 1600:1612] = 255, 0, 0
    path = tmp_path / f"large.{kind}"
    # turned by its EXIF data, where it has some
    stored = Image.fromarray(np.rot90(photo)) if kind == "jpg" else Image.fromarray(photo)
    exif = Image.Exif()
    exif[274] = 6
    stored.save(path, quality=98, subsampling=0, **({"exif": exif} if kind == "jpg" else {}))
    photos = LocalPhotos(names=["large"], files=[str(path)], boxes=[None], train=1)
    store = extract_features(photos, "spots", 50, tmp_path / "store")
    assert made[0].seen == [(686, 1024)]
    assert store.photo_sizes("train").tolist() == [[1540, 2300]]
    assert store.counts("test").tolist() == []
    places = store.of_photo("train", 0).keypoints
    np.testing.assert_allclose(places[:, :2].mean(axis=0), [1605.5, 405.5], atol=0.6)
    np.testing.assert_allclose(places[:, 2], 4 * 2300 / 1024, rtol=0.01)


def test_sift_in_worker_processes_gives_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.local_features.extract.PART", 2)
    (tmp_path / "photos").mkdir()
    files = [str(tmp_path / "photos" / f"{row}.png") for row in range(4)]
    for row, file in enumerate(files):
        Image.fromarray(np.roll(LocalFeatureContract().photo(), 9 * row, axis=1)).save(file)
    photos = LocalPhotos(names=files, files=files, boxes=[None] * 4, train=2)
    here, there = (extract_features(photos, "sift", 30, tmp_path / f"store-{n}", workers=n) for n in (0, 2))
    assert here.content_sha256 == there.content_sha256
    assert here.counts("test").tolist() == [30, 30]


def test_an_extractor_that_fails_is_told_with_the_photo(
    photos: LocalPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(monkeypatch, width=3)
    with pytest.raises(FinblendError, match=r"fails on .*0\.png \(gave descriptors of 2 parts") as caught:
        extract_features(photos, "spots", 5, tmp_path / "store")
    assert "\n" not in str(caught.value)


def test_photos_without_files_or_boxes_of_their_own_are_refused() -> None:
    with pytest.raises(FinblendError, match=r"got \(2, 1, 2\) and 1 of train"):
        LocalPhotos(names=["a", "b"], files=["a"], boxes=[None, None], train=1)
