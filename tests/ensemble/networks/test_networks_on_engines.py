"""`embed` and `train` by Ray's workers: the same bytes as in one process, and what is done is not done again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from embedded import Photos
from engine_work import JobKilledOnce, cluster
from training_world import World

from backbones.store import Store
from cv import FinblendError
from ensemble import Project, embed, train
from ensemble.cli import main
from ensemble.networks import shards
from ensemble.networks.results import EmbedResult

TINY = {"backbone": "timm:test_efficientnet", "weights": "random", "size": (32, 32), "views": ["orig"]}
DRIVER = """
import os, signal, sys
from ensemble import embed
def progress(what, done, total):
    if what == "photos" and done:
        os.kill(os.getpid(), signal.SIGKILL)
embed(
    sys.argv[1], "m", backbone="timm:test_efficientnet", weights="random", frozen=True, size=(32, 32), views=["orig"],
    images=[sys.argv[2]], batch_size=1, engine="ray:" + sys.argv[3], progress=progress,
)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return Photos(tmp_path_factory.mktemp("shards"), 40)


@pytest.fixture
def project(photos: Photos, tmp_path: Path) -> Path:
    shutil.copytree(photos.project, tmp_path / "P")
    return tmp_path / "P"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As workers have it: last bits depend on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def embedded(photos: Photos, project: Path, **options: object) -> EmbedResult:
    options = {**TINY, "images": [photos.images], "batch_size": 8, **options}
    return embed(project, "m", frozen=True, **options)


def vectors(store: Store) -> list[bytes]:
    return [np.array(store.embedding(split, view)).tobytes() for split in ("train", "test") for view in store.views]


@pytest.fixture(scope="module")
def in_one_process(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbedResult, list[bytes]]:
    project = tmp_path_factory.mktemp("here") / "P"
    shutil.copytree(photos.project, project)
    result = embedded(photos, project, workers=0)
    return result, vectors(Store(project / "stores" / "m" / "frozen"))


def test_workers_embed_the_same_bytes_though_one_is_killed(
    photos: Photos,
    project: Path,
    in_one_process: tuple[EmbedResult, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, same = in_one_process
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(shards, "Job", JobKilledOnce)
    there = embedded(photos, project, engine=cluster(), progress=lambda *each: told.append(each))
    assert (project / "killed").exists()
    assert vectors(Store(project / "stores" / "m" / "frozen")) == same
    facts = vars(here).keys() - {"seconds", "photos_per_second", "computed"}
    assert {name: there[name] for name in facts} == {name: here[name] for name in facts}
    # the batch that was kept before the kill is not embedded again
    assert there.computed == here.computed - 8
    assert {total for what, _, total in told if what == "photos"} == {46}
    assert not list((Project.open(project).cache / "embed").glob("*/*"))


def test_a_driver_that_is_killed_goes_on_where_it_was(photos: Photos, project: Path) -> None:
    engine = cluster()
    import ray

    # not "auto": another worker of these tests may have a cluster of its own
    words = [project, photos.images, ray.get_runtime_context().gcs_address]
    driver = subprocess.run([sys.executable, "-c", DRIVER, *words], check=False, timeout=100)
    assert driver.returncode == -signal.SIGKILL
    done = len(list((Project.open(project).cache / "embed").glob("*/*/batch-*.npz")))
    assert done > 0
    result = embedded(photos, project, batch_size=1, engine=engine)
    # workers of the one that was killed may have ended a batch meanwhile
    assert 0 < result.computed <= 46 - done
    assert len(result.views) == 1
    assert (result.train_images, result.test_images) == (40, 6)


def test_other_weights_at_a_worker_are_refused(photos: Photos, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = shards.Job.of

    def other(extraction: shards.Extraction, cpus: int) -> shards.Job:
        from dataclasses import replace

        return replace(of(extraction, cpus), sha256="0")

    monkeypatch.setattr(shards.Job, "of", other)
    with pytest.raises(FinblendError, match="--weights random: are other weights on "):
        embedded(photos, project, engine=cluster())


def test_a_machine_that_computes_otherwise_is_refused(photos: Photos, project: Path) -> None:
    plan = shards.Plan(project, "cuda", "bfloat16", None, 8)
    extraction = shards.Job(
        folder=project, model="m", seen=shards.Seen("frozen"), name="timm:test_efficientnet", size=(32, 32),
        normalisation=((0.5,) * 3, (0.5,) * 3), weights="random", sha256="",
        photos=shards.PhotoFiles([], [], {}, [], [[]], []), options=shards.ExtractionOptions(),
    )  # fmt: skip
    patched = pytest.MonkeyPatch()
    patched.setattr(shards, "planned", lambda *_: shards.Plan(project, "cpu", "float32", None, 8))
    try:
        with pytest.raises(FinblendError, match=r"computes otherwise than the first worker \(cpu, float32; cuda"):
            shards.embedded_shard(extraction, plan, [0], None)
    finally:
        patched.undo()


def test_folds_are_trained_by_workers_to_the_same_bytes(tmp_path: Path) -> None:
    world = World(tmp_path)
    shutil.copytree(world.project, tmp_path / "Q")
    options = {
        **TINY, "images": [world.photos], "folds": "0,2", "device": "cpu", "precision": "float32", "workers": 0,
    }  # fmt: skip
    from ensemble.networks.train import recipe_of

    recipe = recipe_of(head={}, augment={}, epochs=1, batch_size=8)
    there = train(world.project, "m", recipe=recipe, engine=cluster(), **options)
    here = train(tmp_path / "Q", "m", recipe=recipe, **options)
    assert [run.seen for run in there.runs] == [run.seen for run in here.runs] == ["fold-0", "fold-2"]
    for seen in ("fold-0", "fold-2"):
        mine, other = (Store(folder / "stores" / "m" / seen) for folder in (world.project, tmp_path / "Q"))
        assert mine.manifest.weights_sha256 == other.manifest.weights_sha256
        assert vectors(mine) == vectors(other)
    # finished and registered: nothing is left to do
    again = train(world.project, "m", recipe=recipe, engine=cluster(), **options)
    assert [run.registered for run in again.runs] == ["before", "before"]


def test_several_devices_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    pytest.importorskip("ray")
    assert main(world.line("--devices", 2, "--engine", "ray")) == 1
    assert "--devices 2: with --engine ray a network is trained on one device" in capsys.readouterr().err
