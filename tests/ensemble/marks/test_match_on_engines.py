"""`match` by Ray's workers gives the same bytes as one process, and compares nothing twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from embedded import Photos
from engine_work import cluster

from backbones.local_features import FeatureStore, LocalPhotos, build_local
from backbones.local_features.extract import Making, make_part_elsewhere
from backbones.local_features.finish import Part
from backbones.pair_store import PairStore
from cv import FinblendError
from ensemble import Project, match
from ensemble.marks import verified, voting
from ensemble.marks.result import MatchResult


def matched(photos: Photos, project: Path, **options: Any) -> tuple[MatchResult, list[str]]:
    result = match(project, "marks", images=[photos.images], features="sift", keypoints=60, workers=1, **options)
    opened = Project.open(project)
    stores = PairStore(opened.pair_folder("marks")), FeatureStore(opened.feature_folder("sift"))
    return result, [store.manifest.content_sha256 for store in stores]


def photos_named(*files: str) -> LocalPhotos:
    return LocalPhotos(names=list(files), files=list(files), boxes=[None] * len(files), train=0)


def test_workers_match_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # several blocks of each kind in a small catalogue
    monkeypatch.setattr(verified, "BLOCK", 16)
    monkeypatch.setattr(voting, "BLOCK", 16)
    photos = Photos(tmp_path)
    shutil.copytree(photos.project, tmp_path / "Q")
    told: dict[str, int] = {}

    def progress(what: str, done: int, total: int) -> None:
        told[what] = told.get(what, 0) + done

    engine = cluster()
    here, same = matched(photos, tmp_path / "Q")
    there, found = matched(photos, photos.project, engine=engine, progress=progress)
    assert found == same
    assert (there.compared, there.pairs, there.verified) == (here.compared, here.pairs, here.verified)
    assert here.compared > 0
    assert told["votes of marks"] == told["local features"] == 30
    assert told["pairs verified"] == here.compared
    # all parts are kept: nothing is compared again, wherever
    again, found = matched(photos, photos.project, engine=engine, replace=True)
    assert (again.compared, found) == (0, same)


def test_another_version_of_the_features_at_a_worker_is_refused(tmp_path: Path) -> None:
    making = Making("sift", 10, 10, "sift of long ago")
    with pytest.raises(FinblendError, match=r"--features sift: is .* on .*, and sift of long ago where this began"):
        make_part_elsewhere(making, Part("train", "orig", range(0), tmp_path / "part"), photos_named())


def test_photos_that_a_worker_cannot_see_are_not_kept_as_unreadable(tmp_path: Path) -> None:
    making = Making("sift", 10, 10, build_local("sift", 10).fingerprint)
    part = Part("train", "orig", range(1), tmp_path / "part")
    with pytest.raises(FileNotFoundError, match="gone"):
        make_part_elsewhere(making, part, photos_named(str(tmp_path / "gone.jpg")))
    assert not part.path.exists()
