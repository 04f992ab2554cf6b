"""What `init`, `register`, `embed` and `train` return: attributes, and the very keys that `--json` always had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import Small

from backbones import Embeddings
from ensemble import Project, init, register
from ensemble.cli import main
from ensemble.networks.results import EmbedResult, FinishedBefore, RegisteredNow, TrainResult

INIT = [
    "train_images", "individuals", "species", "test_images", "raw_species", "repairs", "folds", "new_share",
    "single_photo_individuals", "single_encounter_individuals", "held_out_individuals", "encounters",
    "photos_without_encounter", "straddling_encounters", "unused_encounters", "individuals_of_several_species",
    "renamed_individuals", "unlabelled_images", "photos", "left_out", "unused_split",
    "of_train_alone", "in_named_folders",
]  # fmt: skip
REGISTER = ["model", "seen", "views", "train_images", "test_images", "predictions", "warnings"]
EXTRACTION = [
    "model", "seen", "views", "train_images", "test_images", "problems", "stand_ins", "boxes_too_small",
    "photos_without_box", "device", "precision", "agreement", "computed", "seconds", "photos_per_second",
]  # fmt: skip
TRAINING = ["seen", "folder", "photos", "classes", "pseudo", "curve"]


def test_init_prints_what_it_returns(small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["init", str(tmp_path / "P"), "--train", str(small.train_csv), "--test", str(small.sample_csv), "--json"]
    assert main(line) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == INIT
    result = init(tmp_path / "Q", train=small.train_csv, test=small.sample_csv)
    assert result.as_dict() == printed
    assert Project.open(tmp_path / "Q").settings["report"] == printed
    assert result.folds["0"].strangers == printed["folds"]["0"]["strangers"]
    assert list(printed["folds"]["0"]) == ["photos", "strangers"]
    assert result.train_images == result["train_images"] == 60


def test_repairs_are_records(tmp_path: Path, small: Small) -> None:
    small.train_csv.write_text(small.train_csv.read_text().replace("beluga", "belugga"))
    result = init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, species_map={"belugga": "beluga"})
    assert [(repair.raw, repair.repaired) for repair in result.repairs] == [("belugga", "beluga")]
    assert list(result["repairs"][0]) == ["raw", "repaired", "photos"]


def test_register_has_the_keys_it_had(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    train, test = small.noisy(1)
    given = [Embeddings({"orig": train}, small.train_images), Embeddings({"orig": test}, small.test_images)]
    result = register(tmp_path / "P", "m", frozen=True, train=given[0], test=given[1])
    assert list(result.as_dict()) == REGISTER
    assert (result.seen, result.views, result.warnings) == ("frozen", {"orig": 24}, [])


def test_embed_and_train_have_the_keys_they_had() -> None:
    assert list(EmbedResult.__dataclass_fields__) == [*EXTRACTION, "warnings"]
    assert list(TrainResult.__dataclass_fields__) == ["model", "runs", "warnings"]
    assert list(FinishedBefore.__dataclass_fields__) == [*TRAINING, "registered"]
    new = [key for key in EXTRACTION if key != "seen"]
    assert list(RegisteredNow.__dataclass_fields__) == [*TRAINING, *new, "registered"]
