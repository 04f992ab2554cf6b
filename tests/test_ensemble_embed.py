"""`finblend embed` through the real command line, on photos made on the fly and a tiny network."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from backbones.store import Seen, Store
from ensemble.cli import main

FINBLEND = str(Path(sys.executable).with_name("finblend"))
TINY = ["--backbone", "timm:test_efficientnet", "--weights", "random", "--size", "32"]


@dataclass
class Done:
    """What a command wrote."""

    stdout: str
    stderr: str


def finblend(*arguments: object, code: int = 0) -> Done:
    """Run the command line in this process: starting a new one costs seconds of imports."""
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        found = main([str(argument) for argument in arguments])
    done = Done(out.getvalue(), told.getvalue())
    assert found == code, done.stderr
    if code:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done


def warned_of(done: Done) -> list[str]:
    """The warnings about photos; the first one is about weights at random."""
    first, *rest = [line.removeprefix("finblend: warning: ") for line in done.stderr.splitlines()]
    assert "never trained" in first
    return rest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As many as in the process that is started: sums differ in the last bit with the number of threads."""
    torch.set_num_threads(1)


class Photos:
    """A project of 24 train and 6 test photos of six individuals, each of a pattern of its own."""

    def __init__(self, folder: Path, count: int = 24) -> None:
        self.folder, self.images, self.project = folder, folder / "photos", folder / "P"
        self.images.mkdir(parents=True)
        rng = np.random.default_rng(0)
        looks = rng.integers(0, 255, (6, 6, 8, 3))
        self.train = [f"tr{i:03d}.jpg" for i in range(count)]
        self.test = [f"te{i:03d}.jpg" for i in range(6)]
        for position, name in enumerate(self.train + self.test):
            pattern = looks[position % 6] + rng.integers(-40, 40, (6, 8, 3))
            pixels = np.kron(np.clip(pattern, 0, 255), np.ones((10, 10, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(self.images / name, quality=90)
        pl.DataFrame(
            {"image": self.train, "species": ["a"] * count, "individual_id": [f"id{i % 6}" for i in range(count)]}
        ).write_csv(folder / "train.csv")
        pl.DataFrame({"image": self.test, "predictions": ["new_individual"] * 6}).write_csv(folder / "sample.csv")
        finblend("init", self.project, "--train", folder / "train.csv", "--test", folder / "sample.csv", "--folds", "3")

    def embed(self, model: str, *more: object, code: int = 0) -> Done:
        return finblend("embed", self.project, model, *TINY, "--images", self.images, *more, code=code)

    def store(self, model: str, seen: str = "frozen") -> Store:
        return Store(self.project / "stores" / model / seen)


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


def test_bad_photos_are_handled_or_named_in_one_list(photos: Photos) -> None:
    rgb = Image.open(photos.images / "tr000.jpg").convert("RGB")
    (photos.images / "tr001.jpg").unlink()
    (photos.images / "tr002.jpg").write_text("this is no photo")
    (photos.images / "tr003.jpg").write_bytes(b"")
    whole = (photos.images / "tr004.jpg").read_bytes()
    (photos.images / "tr004.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    rgb.convert("CMYK").save(photos.images / "tr005.jpg")
    Image.fromarray((np.arange(4800, dtype=np.uint16) * 13).reshape(60, 80)).save(photos.images / "tr006.jpg", "PNG")
    done = photos.embed("tiny", "--frozen", "--workers", "0", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert problems.keys() == {"tr001.jpg", "tr002.jpg", "tr003.jpg", "tr004.jpg"}
    assert problems["tr001.jpg"] == "missing"
    assert problems["tr004.jpg"].startswith("truncated")
    assert warned_of(done) == [
        "4 photos have problems:",
        *(f"  {name}: {note}" for name, note in problems.items()),
        "3 photos could not be read: a random direction, which resembles nobody, stands for each of them",
        "mend these files, then run the same command with --replace",
    ]
    store = photos.store("tiny")
    assert store.manifest.unreadable.keys() == {"tr001.jpg", "tr002.jpg", "tr003.jpg"}
    # what could not be read resembles nobody, least of all one another
    units = store.embedding("train", "orig")[[1, 2, 3]]
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    assert np.abs(units @ units.T - np.eye(3)).max() < 0.5


def test_photos_that_could_not_be_read_are_not_counted_as_embedded_and_can_be_mended(photos: Photos) -> None:
    whole = (photos.images / "tr001.jpg").read_bytes()
    (photos.images / "tr001.jpg").unlink()
    command = ["tiny", "--frozen", "--workers", "0", "--precision", "float32"]
    done = photos.embed(*command)
    assert "\n29 photos embedded, " in done.stdout
    assert warned_of(done) == [
        "1 photo has a problem:",
        "  tr001.jpg: missing",
        "1 photo could not be read: a random direction, which resembles nobody, stands for it",
        "mend these files, then run the same command with --replace",
    ]
    (photos.images / "tr001.jpg").write_bytes(whole)
    done = photos.embed(*command, "--replace")
    assert "\n30 photos embedded, " in done.stdout
    assert not warned_of(done)
    assert not photos.store("tiny").manifest.unreadable


def test_of_many_bad_photos_the_first_are_named(photos: Photos) -> None:
    for name in photos.train[:12]:
        (photos.images / name).write_text("this is no photo")
    told = photos.embed("tiny", "--frozen", "--workers", "0").stderr
    assert "12 photos have problems:" in told
    assert [name in told for name in photos.train] == [True] * 10 + [False] * 14
    assert "and 2 more" in told


@pytest.mark.parametrize("workers", ["0", "2"])
def test_strict_reads_every_photo_before_any_is_embedded(
    photos: Photos, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded(*_: object) -> None:
        raise AssertionError("nothing was to be embedded")

    (photos.images / "tr001.jpg").unlink()
    whole = (photos.images / "te005.jpg").read_bytes()
    (photos.images / "te005.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    for name in photos.train[10:20]:
        (photos.images / name).write_text("this is no photo")
    with monkeypatch.context() as patched:
        patched.setattr("backbones.extraction.forward.Forward.__call__", embedded)
        line = photos.embed("tiny", "--frozen", "--strict", "--workers", workers, code=1).stderr
    assert line.startswith("finblend: --strict: tr001.jpg: missing, tr010.jpg: unreadable: ")
    # the last two of twelve are counted only
    assert "tr018.jpg" in line
    assert "tr019.jpg" not in line
    assert line.strip().endswith("(12 in all)")
    for name in photos.train[10:20]:
        (photos.images / name).write_bytes(whole)
    (photos.images / "tr001.jpg").write_bytes(whole)
    line = photos.embed("tiny", "--frozen", "--strict", "--workers", workers, code=1).stderr
    assert line == "finblend: --strict: te005.jpg: truncated: shown as far as it goes\n"
    (photos.images / "te005.jpg").write_bytes(whole)
    assert "30 photos embedded" in photos.embed("tiny", "--frozen", "--strict", "--workers", workers).stdout


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
