"""From painted photos to the page, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from embedded import finblend

from backbones.pair_store import PairStore
from ensemble import Project, register
from ensemble.demo.painter import paint_catalogue


def test_photos_are_matched_tuned_and_told(tmp_path: Path) -> None:
    painted = paint_catalogue(tmp_path / "data", individuals=20, seed=3, size=64)
    data, project = painted.folder, tmp_path / "P"
    finblend(
        *("init", project, "--train", data / "train.csv", "--test", data / "sample_submission.csv"),
        *("--folds", "3", "--encounters", "encounter"),
    )
    # a network that hardly knows them
    names = {split: getattr(painted, split)["image"].to_list() for split in ("train", "test")}
    who = dict(painted.details.select("image", "individual").iter_rows())
    rng = np.random.default_rng(0)
    look = {name: rng.standard_normal(8) for name in sorted(set(who.values()))}
    spaces = {
        split: (of, np.stack([look[who[image]] + 1.5 * rng.standard_normal(8) for image in of]).astype(np.float32))
        for split, of in names.items()
    }
    register(project, "drawn", frozen=True, **spaces)
    # workers that are started anew would take longer than all of this
    options = ("--images", data / "photos", "--keypoints", "30", "--shortlist", "3", "--workers", "1", "--json")
    matched = json.loads(finblend("match", project, "marks", *options).stdout)
    assert matched["unreadable"] == {}
    assert matched["compared"] == sum(matched["verified"].values()) > 0
    catalogue, store = Project.open(project).catalogue, PairStore(project / "pairs" / "marks")
    pairs = store.pairs("train")
    encounter = catalogue.train["encounter"].to_numpy()
    assert not (encounter[pairs.query] == encounter[pairs.gallery]).any()
    # marks are too small on photos of this size to tell animals apart: that is tested with planted ones
    assert pairs.second is not None
    assert (pairs.score > 0).any()
    assert (pairs.second >= 0).sum() == matched["verified"]["train"]
    finblend("tune", project, "--trials", "0", "--new-share", "0.12", "--nested-trials", "0")
    finblend("submit", project, "-o", tmp_path / "s.csv")
    finblend("check", tmp_path / "s.csv", "--sample", data / "sample_submission.csv")
    assert pl.read_csv(tmp_path / "s.csv").height == painted.test.height
    finblend("report", project, "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert 'id="marks"' in page
    assert "marks: up to 30 keypoints a photo (sift) vote for gallery photos" in page
