"""Merged pseudo-labels: rounds with ledgers, nothing of one fold's set in another's training or gallery."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted import FOLDS, plain, sets_by_hand

from backbones.manifest import Seen
from cv import FinblendError
from cv.files import sha256_of
from cv.pseudo_labels import PseudoLabels, write_pseudo_labels
from ensemble import Project, init, merge, register, tune
from ensemble.networks.training_set import training_set
from ensemble.project.pseudo_rounds import gallery_of, named_round


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(project: Path, *args: Any, **options: Any) -> str:
    """The line that refuses a merge, which writes nothing."""
    before = tree(project)
    with pytest.raises(FinblendError) as told:
        merge(project, *args, **options)
    assert tree(project) == before
    return str(told.value)


def copy_set(path: Path, source: str, target: str) -> None:
    """Plant one fold's set, and what is said of it, under another's name."""
    for end in (".csv", ".csv.json"):
        shutil.copy(path.with_name(f"{path.stem}-{source}{end}"), path.with_name(f"{path.stem}-{target}{end}"))


def test_a_round_has_every_set_and_a_ledger(project: Path, sets: Path) -> None:
    report = merge(project, sets)
    place = project / "pseudo" / "round-1"
    ledger = json.loads((place / "ledger.json").read_text())
    assert ledger == {key: report[key] for key in ledger}
    assert (ledger["round"], ledger["kind"], ledger["from"]) == ("round-1", "training", "finblend")
    assert ledger["source"] == {"file": str(sets), "sha256": sha256_of(sets)}
    assert ledger["made"]["rule"] == "by hand"
    assert ledger["labels"] == Project.open(project).photos_hash
    rows = {f"fold-{k}": 10 - k for k in FOLDS} | {"full": 5}
    assert {seen: one["rows"] for seen, one in ledger["sets"].items()} == rows
    for seen, one in ledger["sets"].items():
        assert one["sha256"] == sha256_of(place / f"{seen}.csv")
        table = pl.read_csv(place / f"{seen}.csv")
        assert table["origin"].to_list() == ["round-1"] * rows[seen]
        assert table["why"][0] == f"said for {seen}"
    assert report["drift"]["individuals"] == 4
    assert merge(project, sets_by_hand(project, sets.with_name("q.csv"), lambda *_: {3: "id03"}))["round"] == "round-2"


def test_what_is_no_whole_round_is_refused(project: Path, sets: Path, tmp_path: Path) -> None:
    third = sets.with_name("p-fold-3.csv")
    assert f"{third}: is the set for fold-3; merge the one for full" in refused(project, third)
    assert "--as must be one of training, gallery, but got both" in refused(project, sets, kind="both")
    assert "was cut by 'finblend pseudo'" in refused(project, sets, min_prob=0.5)
    merge(project, sets)
    assert f"{sets}: was merged for training before, as round-1" in refused(project, sets)
    third.unlink()
    assert f"{third}: no such file" in refused(project, sets, kind="gallery")
    alone = tmp_path / "alone.csv"
    frame = pl.DataFrame({"image": ["te001.jpg"], "individual_id": ["id01"], "conf": [0.9]})
    write_pseudo_labels(alone, PseudoLabels(frame, "full", Project.open(project).photos_hash))
    assert "does not name the sets for the folds" in refused(project, alone)
    write_pseudo_labels(alone, PseudoLabels(frame, "full", "other", {"folds": {}}))
    assert "was made with other labels or folds than this project's" in refused(project, alone)


@pytest.mark.parametrize("kind", ["training", "gallery"])
def test_another_folds_set_is_refused(project: Path, sets: Path, kind: str) -> None:
    copy_set(sets, "fold-2", "fold-0")
    told = refused(project, sets, kind=kind, force=True)
    assert "p-fold-0.csv: its labels are for fold-2; they may have seen fold-0's labels" in told
    # nor does it help to say that it was made for fold 0
    beside = sets.with_name("p-fold-0.csv.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"never_saw": "fold-0"}))
    told = refused(project, sets, kind=kind, force=True)
    assert "p-fold-0.csv: was not written together with p.csv" in told


@pytest.mark.parametrize("forged", [False, True])
def test_another_folds_set_in_a_merged_round_is_refused(project: Path, sets: Path, forged: bool) -> None:
    merge(project, sets, kind="gallery", force=True)
    place = project / "pseudo" / "round-1"
    for end in (".csv", ".csv.json"):
        shutil.copy(place / f"fold-2{end}", place / f"fold-0{end}")
    if forged:
        ledger = json.loads((place / "ledger.json").read_text())
        ledger["sets"]["fold-0"] = ledger["sets"]["fold-2"]
        (place / "ledger.json").write_text(json.dumps(ledger))
    line = "its labels are for fold-2" if forged else "is not the file that was merged for fold-0"
    opened = Project.open(project)
    with pytest.raises(FinblendError, match=line):
        named_round(opened, "round-1").set_for(opened, "fold-0")
    with pytest.raises(FinblendError, match=line):
        tune(project, trials=0, new_share=0.15, nested_trials=0)


def elsewhere(folder: Path) -> Path:
    rows = {
        "image": ["te000.jpg", "te001.jpg", "te002.jpg", "te003.jpg"],
        "individual_id": ["id00", "id01", "new_individual", "id02"],
        "conf": [0.9, 0.4, 0.99, 0.8],
        "species": ["fin_whale", "beluga", "beluga", "beluga"],
    }
    pl.DataFrame(rows).write_csv(folder / "elsewhere.csv")
    return folder / "elsewhere.csv"


def test_a_file_from_elsewhere_is_for_full_only(project: Path, tmp_path: Path) -> None:
    path = elsewhere(tmp_path)
    report = merge(project, path, min_prob=0.5)
    assert (report["from"], list(report["sets"]), report["made"]) == ("elsewhere", ["full"], None)
    # one names nobody, one is unsure; id02 is a fin whale
    assert report["min_prob"] == 0.5
    assert (report["sets"]["full"]["rows"], report["left_out"], report["other_species"]) == (2, 2, 1)
    opened = Project.open(project)
    assert named_round(opened, "round-1").set_for(opened, "full").frame["image"].to_list() == ["te000.jpg", "te003.jpg"]
    with pytest.raises(FinblendError, match="has no set for fold-0: its labels came from elsewhere"):
        named_round(opened, "round-1").set_for(opened, "fold-0")
    assert "cannot be measured out-of-fold; --force merges it all the same" in refused(project, path, kind="gallery")
    report = merge(project, path, kind="gallery", force=True)
    assert (report["effect"], report["forced"]) == (None, True)
    assert list(gallery_of(Project.open(project)).sets) == ["full"]


def sighted(project: Project) -> Any:
    names = project.catalogue.frame["image"].to_list()
    return SimpleNamespace(names=names, files=names, boxes=[])


def test_training_takes_the_set_of_its_own_fold(project: Path, sets: Path, tmp_path: Path) -> None:
    merge(project, sets)
    merge(project, elsewhere(tmp_path))
    opened = Project.open(project)
    for k in (0, 4):
        got = training_set(opened, sighted(opened), Seen("fold", k), "round-1", 0.0)
        named = plain("", k)
        assert got.pseudo == len(named)
        assert [got.classes[i] for i in got.individuals[-got.pseudo :]] == list(named.values())
        assert got.images[-got.pseudo :] == [f"te{row:03d}.jpg" for row in named]
    assert training_set(opened, sighted(opened), Seen("full"), "round-1", 0.0).pseudo == 5
    assert training_set(opened, sighted(opened), Seen("full"), "round-2", 0.5).pseudo == 2
    for name, line in (("round-2", "has no set for fold-0"), ("round-3", "has no round-3; it has round-1, round-2")):
        with pytest.raises(FinblendError, match=line):
            training_set(opened, sighted(opened), Seen("fold", 0), name, 0.0)


def test_a_gallery_that_helps_is_merged(tmp_path: Path) -> None:
    """Individuals turn round: out-of-fold photos look like the test photos only, whose names are right."""
    rng = np.random.default_rng(0)
    people, each = 30, 5
    who = np.repeat(np.arange(people), each)
    fold = np.tile(np.arange(each), people)
    # every train photo shows another side, a test photo shows all of them
    sides = rng.standard_normal((people, each, 40))
    train = sides[who, fold].astype(np.float32)
    test = sides.sum(axis=1).astype(np.float32)
    images, tests = [f"a{i:03d}.jpg" for i in range(len(who))], [f"b{i:03d}.jpg" for i in range(people)]
    table = {"image": images, "species": "whale", "individual_id": [f"i{w:02d}" for w in who], "fold": fold}
    pl.DataFrame(table).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": tests}).write_csv(tmp_path / "test.csv")
    folds = f"{tmp_path}/train.csv:fold"
    init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "test.csv", folds=folds)
    register(tmp_path / "P", "m", frozen=True, train=(images, train), test=(tests, test))
    tune(tmp_path / "P", trials=0, new_share=0.1, nested_trials=0)
    path = sets_by_hand(tmp_path / "P", tmp_path / "p.csv", lambda *_: {row: f"i{row:02d}" for row in range(people)})
    report = merge(tmp_path / "P", path, kind="gallery")
    assert report["effect"]["interval"][0] > 0
    assert report["effect"]["with"] > report["effect"]["without"] + 0.1
    assert report["forced"] is False
