"""`finblend embed` through the real command line, on photos made on the fly and a tiny network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from embedded import TINY, Photos, finblend
from PIL import Image

from backbones.manifest import Seen

FINBLEND = str(Path(sys.executable).with_name("finblend"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As many as in the process that is started: sums differ in the last bit with the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


def test_the_store_holds_every_photo_and_says_how_it_was_made(photos: Photos) -> None:
    report = json.loads(photos.embed("tiny", "--frozen", "--workers", "0", "--json").stdout)
    assert (report["train_images"], report["test_images"], report["problems"]) == (24, 6, {})
    store = photos.store("tiny")
    assert store.views == ["orig", "hflip"]
    assert store.images("test") == photos.test
    manifest = store.manifest
    told = json.loads(str(manifest.transform))
    assert (told["height"], told["resize"], told["precision"]) == (32, "squash", report["precision"])
    assert manifest.sources == {"backbone": "timm:test_efficientnet", "weights": "random"}
    assert manifest.weights_sha256
    assert {"torch", "timm", "pillow"} <= manifest.versions.keys()
    assert not (photos.project / "cache" / "embed" / "tiny-frozen").exists()
    # individuals of a pattern each are told apart, even by a network that was never trained
    known = json.loads(finblend("models", photos.project, "--json").stdout)["models"][0]
    assert known["known"] > 0.5


def test_embeddings_are_those_of_the_network_itself(photos: Photos) -> None:
    from backbones.adapters import build_backbone

    photos.embed("tiny", "--frozen", "--views", "hflip", "--precision", "float32", "--workers", "0")
    backbone = build_backbone("timm:test_efficientnet", (32, 32))
    with Image.open(photos.images / photos.test[2]) as image:
        pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC))[:, ::-1].copy()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    shown = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std
    with torch.inference_mode():
        wanted = backbone.network.eval()(shown[None])[0].numpy()
    made = photos.store("tiny").embedding("test", "hflip")[2]
    assert made @ wanted / np.linalg.norm(made) / np.linalg.norm(wanted) > 0.9999


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    photos = Photos(tmp_path, count=600)
    options = ["--frozen", "--batch-size", "4", "--workers", "1", "--precision", "float32"]
    photos.embed("whole", *options)
    command = [FINBLEND, "embed", str(photos.project), "killed", *TINY, "--images", str(photos.images), *options]
    running = subprocess.Popen(
        command, stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    kept = photos.project / "cache" / "embed" / "killed-frozen"
    for _ in range(3000):
        if len(list(kept.glob("*/batch-*.npz"))) >= 5 or running.poll() is not None:
            break
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    done = len(list(kept.glob("*/batch-*.npz")))
    assert 5 <= done < 152, "it was to be killed on its way"
    # under the same name as the whole one, so that its manifest is the same, too
    whole = (photos.project / "stores" / "whole" / "frozen").rename(tmp_path / "whole")
    report = json.loads(photos.embed("killed", *options, "--json").stdout)
    assert report["computed"] == 606 - 4 * done or report["computed"] == 606 - 4 * done + 2
    for name in ("train.arrow", "test.arrow"):
        assert (whole / name).read_bytes() == (photos.store("killed").folder / name).read_bytes()


def test_a_changed_photo_is_not_mixed_with_an_earlier_call(photos: Photos) -> None:
    photos.embed("tiny", "--frozen", "--workers", "0")
    before = photos.store("tiny").embedding("test", "orig").copy()
    Image.new("RGB", (80, 60), "red").save(photos.images / photos.test[0])
    photos.embed("tiny", "--frozen", "--workers", "0", "--replace")
    after = photos.store("tiny").embedding("test", "orig")
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1:4], after[1:4])


def test_boxes_and_crops_become_views(photos: Photos) -> None:
    every = photos.train + photos.test
    pl.DataFrame({"image": every, "bbox": ["[[10 5 50 45]]"] * 29 + ["[]"]}).write_csv(photos.folder / "fin.csv")
    pl.DataFrame({"image": every, "bbox": ["[2, 2, 4, 3]"] + ["[20, 10, 40, 40]"] * 29}).write_csv(
        photos.folder / "tail.csv"
    )
    report = json.loads(
        photos.embed(
            "tiny", "--frozen", "--workers", "0", "--json",
            "--boxes", photos.folder / "fin.csv", "--crop", "fin",
            "--boxes", photos.folder / "tail.csv", "--crop", "tail",
        ).stdout
    )  # fmt: skip
    assert list(report["views"]) == ["fin", "fin-hflip", "tail", "tail-hflip"]
    assert report["photos_without_box"] == 1
    assert report["boxes_too_small"] == 1
    # the photo without a box is shown whole: as without boxes
    photos.embed("whole", "--frozen", "--workers", "0", "--views", "orig")
    fin, whole = (photos.store(name).embedding("test", view) for name, view in (("tiny", "fin"), ("whole", "orig")))
    assert np.allclose(fin[5], whole[5], atol=1e-3)
    assert not np.allclose(fin[4], whole[4], atol=1e-2)


def test_boxes_read_in_the_wrong_form_are_refused(photos: Photos) -> None:
    table = pl.DataFrame({"image": photos.train, "bbox": ["[40, 30, 78, 58]"] * 24})
    table.write_csv(photos.folder / "b.csv")
    boxes = ["--boxes", photos.folder / "b.csv"]
    line = photos.embed("tiny", "--frozen", "--workers", "0", *boxes, code=1).stderr
    assert "reach far out of their photo" in line
    assert "--box-form" in line
    photos.embed("tiny", "--frozen", "--workers", "0", *boxes, "--box-form", "xyxy")


def test_a_further_view_joins_the_store_of_the_same_weights(photos: Photos) -> None:
    photos.embed("tiny", "--frozen", "--workers", "0", "--views", "orig")
    first = photos.store("tiny").embedding("train", "orig").copy()
    photos.embed("tiny", "--frozen", "--workers", "0", "--views", "hflip")
    assert photos.store("tiny").views == ["orig", "hflip"]
    assert np.array_equal(photos.store("tiny").embedding("train", "orig"), first)
    line = photos.embed("tiny", "--frozen", "--workers", "0", code=1).stderr
    assert "already registered as frozen with the views orig and hflip; use --replace" in line


def test_one_network_cannot_have_seen_two_things(photos: Photos) -> None:
    photos.embed("tiny", "--frozen", "--workers", "0")
    line = photos.embed("other", "--full", "--workers", "0", code=1).stderr
    assert "the same weights are registered as tiny frozen" in line
    assert not photos.store("other", str(Seen("full"))).folder.exists()


def test_a_file_is_the_photo_of_one_name_only(tmp_path: Path) -> None:
    photos = Photos(tmp_path)
    table = pl.read_csv(tmp_path / "train.csv").with_columns(pl.col("image").replace("tr001.jpg", "tr000.png"))
    table.write_csv(tmp_path / "again.csv")
    (photos.images / "tr002.jpg").unlink()
    (photos.images / "tr002.jpg").symlink_to("nowhere")
    photos.project = tmp_path / "P2"
    files = ["--train", tmp_path / "again.csv", "--test", tmp_path / "sample.csv", "--folds", "3"]
    finblend("init", photos.project, *files)
    problems = json.loads(photos.embed("tiny", "--frozen", "--workers", "0", "--json").stdout)["problems"]
    assert problems.keys() == {"tr000.png", "tr002.jpg"}
    assert problems["tr000.png"].startswith("ambiguous")
    assert problems["tr002.jpg"].startswith("missing")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "exactly one of --frozen, --fold K and --full"),
        (["--fold", "7"], "the project's folds are 0, 1, 2"),
        (["--frozen", "--views", "orig,upside"], "--views must be orig, hflip or both, but got 'upside'"),
        (["--frozen", "--batch-size", "0"], "--batch-size >= 1 must hold, but got 0"),
        (["--frozen", "--resize", "stretch"], "resize 'stretch' is none of squash, pad, crop"),
        (["--frozen", "--device", "tpu"], "--device must be one of auto, cpu, cuda, but got 'tpu'"),
        (["--frozen", "--precision", "int8"], "--precision must be one of"),
        (["--frozen", "--crop", "fin"], "--crop fin: names the boxes of --boxes, and there are none"),
        (["--frozen", "--boxes", "no.csv"], "no.csv"),
        (["--frozen", "--images", "nowhere"], "nowhere: no such folder"),
        (["--frozen", "--size", "12x"], "--size must be N or HEIGHTxWIDTH, but got '12x'"),
        (["--frozen", "--normalise", "zero"], "--normalise must be one of imagenet, half, but got 'zero'"),
        (["--frozen", "--weights", "no.pth"], "no.pth: no such file"),
        (["--frozen", "--backbone", "timm:resnet999"], "timm has no network 'resnet999'"),
    ],
)
def test_wrong_input_is_one_line_and_registers_nothing(photos: Photos, arguments: list[str], told: str) -> None:
    assert told in photos.embed("tiny", "--workers", "0", *arguments, code=1).stderr
    assert not (photos.project / "stores").exists() or not list((photos.project / "stores").glob("*/*/manifest.json"))
