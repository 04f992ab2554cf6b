"""The lines of the README on real photos, as they stand."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from embedded import finblend

pytestmark = pytest.mark.realdata

FINBLEND = Path(sys.executable).with_name("finblend")

# `P` and `E` stand for the project and the folder of embeddings; the rest is written as a user would type it
LINES = """
finblend register P lite0       --frozen --train E/lite0.npz --test E/lite0.npz
finblend register P augnet      --frozen --train E/augnet_train_results.npz --test E/augnet_test_results.npz
finblend register P mobilenetv2 --frozen --train 'E/mobilenetv2_train_*.npy' --train-names E/mobilenetv2_train_names.txt --test 'E/mobilenetv2_test_*.npy' --test-names E/mobilenetv2_test_names.txt
finblend register P thinresnet  --frozen --train E/thinresnet_train.parquet --test E/thinresnet_test.parquet
finblend register P osnet       --frozen --train E/osnet_train.csv --test E/osnet_test.csv
finblend register P lite2       --frozen --train E/lite2.safetensors:train --train-names E/lite2_names.json:train --test E/lite2.safetensors:test --test-names E/lite2_names.json:test
"""  # noqa: E501
MODELS = ["augnet", "lite0", "lite2", "mobilenetv2", "osnet", "thinresnet"]


def _words(line: str, project: Path) -> list[str]:
    words = [word.replace("E/", "embeddings/") for word in shlex.split(line)[1:]]
    return [str(project) if word == "P" else word for word in words]


def run(line: str, folder: Path, project: Path) -> str:
    """Run one line in the folder of data; its standard output."""
    words = _words(line, project)
    # on a busy machine the threads of a small eigenvalue problem wait for each other ten times as long as they work
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run([FINBLEND, *words], capture_output=True, text=True, check=False, cwd=folder, env=env)
    assert found.returncode == 0, found.stderr
    return found.stdout


def run_here(line: str, folder: Path, project: Path) -> str:
    """The same in this process: starting one costs seconds of imports."""
    with contextlib.chdir(folder):
        return finblend(*_words(line, project)).stdout


def test_six_layouts_become_one_checked_submission(real_data: Path, tmp_path: Path) -> None:
    photoid, project, out = real_data / "photoid", tmp_path / "P", tmp_path / "submission.csv"
    made = json.loads(
        run(
            "finblend init P --train train.csv --test sample_submission.csv --folds 3 "
            "--encounters encounters.csv:encounter --json",
            photoid,
            project,
        )
    )
    assert (made["train_images"], made["individuals"], made["test_images"]) == (1196, 311, 442)
    assert made["single_photo_individuals"] == 78
    assert made["straddling_encounters"] == 0
    assert made["single_encounter_individuals"] > 0
    first, *lines = LINES.strip().splitlines()
    assert "1196 train and 442 test photos" in run(first, photoid, project)
    for line in lines:
        assert "1196 train and 442 test photos" in run_here(line, photoid, project)
    views = {
        row["model"]: row["views"]
        for row in json.loads(run_here("finblend models P --new-share 0.12 --json", photoid, project))["models"]
    }
    assert sorted(views) == MODELS
    assert views["augnet"] == {"orig": 2048}
    assert [views[name]["orig"] for name in ("lite0", "mobilenetv2", "thinresnet", "osnet", "lite2")] == [
        1280,
        1280,
        1024,
        512,
        1280,
    ]
    tuned = json.loads(run("finblend tune P --trials 3 --nested-trials 1 --new-share 0.12 --json", photoid, project))
    assert tuned["map5"] > max(tuned["single_models"].values())
    assert tuned["map5"] >= tuned["equal_weights"]
    scored = json.loads(run_here("finblend evaluate P --json", photoid, project))
    assert scored["map5"] == pytest.approx(tuned["map5_of_answers"])
    assert len(scored["species"]) == made["species"]
    run_here(f"finblend submit P -o {out}", photoid, project)
    assert "442 rows, all rules kept" in run_here(
        f"finblend check {out} --sample sample_submission.csv", photoid, project
    )
    sample = pl.read_csv(photoid / "sample_submission.csv")
    assert pl.read_csv(out)["image"].to_list() == sample["image"].to_list()


def test_rows_of_every_layout_are_matched_with_the_right_photos(real_data: Path, tmp_path: Path) -> None:
    """The nearest neighbour shows the same individual far more often than rows in a wrong order would."""
    import numpy as np

    from backbones import align, read_embeddings
    from cv import read_catalogue

    photoid, e = real_data / "photoid", real_data / "photoid" / "embeddings"
    catalogue, _ = read_catalogue(photoid / "train.csv", photoid / "sample_submission.csv")
    specs = {
        "lite0": (e / "lite0.npz", None),
        "augnet": (e / "augnet_train_results.npz", None),
        "mobilenetv2": (f"{e}/mobilenetv2_train_*.npy", e / "mobilenetv2_train_names.txt"),
        "thinresnet": (e / "thinresnet_train.parquet", None),
        "osnet": (e / "osnet_train.csv", None),
        "lite2": (f"{e}/lite2.safetensors:train", f"{e}/lite2_names.json:train"),
    }
    everything = frozenset(catalogue.frame["image"])
    for name, (spec, names) in specs.items():
        found = align(read_embeddings(spec, "train", names), catalogue.train, "train", everything)
        array = found.views["orig"] - found.views["orig"].mean(axis=0)
        unit = array / np.linalg.norm(array, axis=1, keepdims=True)
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -1.0)
        nearest = similarity.argmax(axis=1)
        # by chance 0.5 % show the same individual
        assert (catalogue.labels[nearest] == catalogue.labels).mean() > 0.04, name


def test_happywhale_is_read_and_repaired(real_data: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    line = "finblend init P --train train.csv --test sample_submission.csv --folds 5 --json"
    made = json.loads(run(line, real_data / "happywhale", tmp_path / "P"))
    assert time.monotonic() - started < 10
    found = tuple(made[key] for key in ("train_images", "individuals", "species", "test_images"))
    assert found == (51033, 15587, 26, 27956)
    assert made["raw_species"] == 30
    assert {repair["raw"] for repair in made["repairs"]} == {
        "bottlenose_dolpin",
        "kiler_whale",
        "pilot_whale",
        "globis",
    }
    assert made["single_photo_individuals"] == 9258


def test_a_winning_teams_pseudo_labels_merge(real_data: Path, tmp_path: Path) -> None:
    """What its confident rows name is far from what test photos show: the drift that the report is there for."""
    whales, project = real_data / "happywhale", tmp_path / "P"
    for folder in (project, tmp_path / "P2"):
        run("finblend init P --train train.csv --test sample_submission.csv", whales, folder)
    every = json.loads(run("finblend merge P winner_pseudo_labels.csv --json", whales, project))
    assert (every["round"], every["from"], every["sets"]["full"]["rows"]) == ("round-1", "elsewhere", 27956)
    sure = json.loads(run("finblend merge P winner_pseudo_labels.csv --min-prob 0.6 --json", whales, tmp_path / "P2"))
    assert sure["sets"]["full"]["rows"] == 18573
    assert every["drift"]["top_share"] < 0.55 < 0.6 < sure["drift"]["top_share"]
    assert (every["other_species"], sure["other_species"]) == (99, 3)
