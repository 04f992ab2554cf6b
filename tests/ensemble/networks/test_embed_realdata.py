"""Two real networks on the real photos of photoid, through the command line, against their registered embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.cli import main

pytestmark = pytest.mark.realdata
NETWORKS = {
    "lite0": ("timm:tf_efficientnet_lite0", "tf_efficientnet_lite0.safetensors"),
    "mobilenetv2": ("timm:mobilenetv2_100", "mobilenetv2_100_features.safetensors"),
}


def test_embedding_reaches_what_the_registered_embeddings_of_the_same_networks_reach(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photoid, run = real_data / "photoid", _runner(capsys)
    project = tmp_path / "P"
    run(
        "init", project, "--train", photoid / "train.csv", "--test", photoid / "sample_submission.csv",
        "--folds", "3", "--encounters", f"{photoid / 'encounters.csv'}:encounter",
    )  # fmt: skip
    made = photoid / "embeddings"
    run("register", project, "given-lite0", "--frozen", "--train", made / "lite0.npz", "--test", made / "lite0.npz")
    run(
        "register", project, "given-mobilenetv2", "--frozen",
        "--train", made / "mobilenetv2_train_*.npy", "--train-names", made / "mobilenetv2_train_names.txt",
        "--test", made / "mobilenetv2_test_*.npy", "--test-names", made / "mobilenetv2_test_names.txt",
    )  # fmt: skip
    for name, (backbone, weights) in NETWORKS.items():
        report = run(
            "embed", project, name, "--backbone", backbone, "--weights", real_data / "weights" / weights,
            "--images", photoid / "train_images", "--images", photoid / "test_images", "--frozen", "--views", "orig",
            "--strict", "--json",
        )  # fmt: skip
        assert json.loads(report)["test_images"] == 442
    scores = {
        row["model"]: row["map5"]
        for row in json.loads(run("models", project, "--new-share", "0.12", "--json"))["models"]
    }
    for name in NETWORKS:
        assert abs(scores[name] - scores[f"given-{name}"]) < 0.03, scores


def _runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        assert code == 0, found.err
        return found.out

    return run
