"""Two real networks on the real photos of photoid, through the command line, against their registered embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backbones import Embeddings, read_embeddings
from ensemble import register
from ensemble.cli import main

pytestmark = pytest.mark.realdata
NETWORKS = {
    "lite0": ("timm:tf_efficientnet_lite0", "tf_efficientnet_lite0.safetensors"),
    "mobilenetv2": ("timm:mobilenetv2_100", "mobilenetv2_100_features.safetensors"),
}
# of the individuals, and of the test photos, one in so many: what takes time is decoding
ONE_IN = 4


def test_embedding_reaches_what_the_registered_embeddings_of_the_same_networks_reach(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photoid, run = real_data / "photoid", _runner(capsys)
    project, train, test = tmp_path / "P", tmp_path / "train.csv", tmp_path / "test.csv"
    photos, tests = pl.read_csv(photoid / "train.csv"), pl.read_csv(photoid / "sample_submission.csv")
    some = set(photos["individual_id"].unique().sort().gather_every(ONE_IN))
    photos.filter(pl.col("individual_id").is_in(some)).write_csv(train)
    tests.gather_every(ONE_IN).write_csv(test)
    run(
        "init", project, "--train", train, "--test", test, "--folds", "3",
        "--encounters", f"{photoid / 'encounters.csv'}:encounter",
    )  # fmt: skip
    made, images = photoid / "embeddings", {"train": pl.read_csv(train)["image"], "test": pl.read_csv(test)["image"]}
    for name in NETWORKS:
        sources = {
            split: (made / "lite0.npz", None) if name == "lite0"
            else (made / f"mobilenetv2_{split}_*.npy", made / f"mobilenetv2_{split}_names.txt")
            for split in images
        }  # fmt: skip
        given = {split: read_embeddings(str(file), split, names) for split, (file, names) in sources.items()}
        register(project, f"given-{name}", frozen=True, **{s: _only(all_of, images[s]) for s, all_of in given.items()})
    for name, (backbone, weights) in NETWORKS.items():
        report = run(
            "embed", project, name, "--backbone", backbone, "--weights", real_data / "weights" / weights,
            "--images", photoid / "train_images", "--images", photoid / "test_images", "--frozen", "--views", "orig",
            "--strict", "--json",
        )  # fmt: skip
        assert json.loads(report)["test_images"] == -(-442 // ONE_IN)
    scores = {
        row["model"]: row["map5"]
        for row in json.loads(run("models", project, "--new-share", "0.12", "--json"))["models"]
    }
    for name in NETWORKS:
        assert abs(scores[name] - scores[f"given-{name}"]) < 0.03, scores


def _only(given: Embeddings, images: pl.Series) -> tuple[list[str], np.ndarray]:
    """The rows of some photos."""
    assert given.images is not None
    place = {image: row for row, image in enumerate(given.images)}
    return images.to_list(), given.views["orig"][[place[image] for image in images]]


def _runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        assert code == 0, found.err
        return found.out

    return run
