"""A training run in its folder: it learns, it can be killed at any moment, and it ends as if it never was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import backbones.training.fit as fitting
from backbones.adapters import build_backbone
from backbones.curve import read_curve
from backbones.heads import HeadRecipe, build_head
from backbones.layers import DelgTraining
from backbones.photos import Frame
from backbones.training import Augment, Recipe
from backbones.training.fit import Machine, fit, load_heads
from backbones.training.samples import TrainingPhotos
from backbones.weights import Origin, read_state
from cv.errors import FinblendError

SIDE, EPOCHS, PEOPLE = 32, 3, 6
ORIGIN = Origin("timm:test_efficientnet", SIDE, SIDE, "squash", "0 0 0", "1 1 1", "fold-0", "run", "labels")
torch.set_num_threads(1)


class Killed(Exception):
    """The moment at which a run ends."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> TrainingPhotos:
    """24 photos of 6 individuals, each with a colour and a pattern of its own."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    looks = rng.integers(0, 256, (PEOPLE, 5, 5, 3)).astype(np.float64)
    who = np.repeat(np.arange(PEOPLE), 4)
    files = []
    for number, individual in enumerate(who):
        noisy = looks[individual] + rng.normal(0, 12, looks[individual].shape)
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((40, 40))
        image.save(folder / f"{number}.jpg")
        files.append(str(folder / f"{number}.jpg"))
    return TrainingPhotos(files, [[None] * len(files)], who, who % 2, Frame(SIDE, SIDE), Augment(hue=0), 0)


Run = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def run(photos: TrainingPhotos) -> Run:
    """Train in a folder; the network's tensors."""

    def train(
        folder: Path, workers: int = 0, watch: Any = None, tell: Any = None, heads: Any = None, **settings: Any
    ) -> Any:
        recipe = Recipe(**{"epochs": EPOCHS, "batch_size": 6, "lr_body": 3e-3, "lr_head": 1e-2} | settings)
        backbone = build_backbone("timm:test_efficientnet", (SIDE, SIDE))
        backbone.network.drop_rate = 0.2  # type: ignore[assignment]
        machine = Machine("cpu", workers=workers)
        heads = heads or make_heads()
        finished = fit(folder, backbone, heads, photos, recipe, machine, ORIGIN, validate=watch, tell=tell)
        assert finished is True
        return read_state(folder)[0]

    return train


def make_heads() -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        counts = {"individuals": np.full(PEOPLE, 4), "species": np.full(2, 12)}
        return {name: build_head(HeadRecipe(), 256, count) for name, count in counts.items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def straight(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    run(folder)
    return folder


def losses(folder: Path) -> list[tuple[float, float]]:
    return [(row["epoch"], row["loss"]) for row in read_curve(folder / "curve.csv") if "loss" in row]


def stop_at(step: int) -> Callable[[int, int], None]:
    done = [0]

    def tell(now: int, total: int) -> None:
        done[0] += now
        assert total == EPOCHS * 4
        if done[0] == step:
            raise Killed

    return tell


def test_it_learns_and_leaves_the_network_its_heads_and_a_curve(straight: Path, run: Run, tmp_path: Path) -> None:
    assert sorted(path.name for path in straight.iterdir()) == ["curve.csv", "heads.safetensors", "network.safetensors"]
    told = losses(straight)
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    state, origin = read_state(straight)
    assert origin == ORIGIN
    fresh = build_backbone("timm:test_efficientnet", (SIDE, SIDE)).network
    assert not same(state, fresh.state_dict())
    fresh.load_state_dict(state)
    heads = load_heads(straight, make_heads())
    assert not torch.equal(heads["individuals"].cosines(torch.ones(1, 256)), make_heads()["individuals"].cosines(torch.ones(1, 256)))  # type: ignore[operator] # fmt: skip # noqa: E501
    assert not same(run(tmp_path, seed=1), state)


def test_the_loss_falls(run: Run, tmp_path: Path) -> None:
    run(tmp_path, epochs=12)
    told = [loss for _, loss in losses(tmp_path)]
    assert len(told) == 12
    assert np.mean(told[-3:]) < 0.7 * np.mean(told[:3])


@pytest.mark.parametrize(("workers", "step"), [(0, 6), (1, 6), (1, 10)])
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    workers: int, step: int, straight: Path, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, workers, tell=stop_at(step))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"epoch={step // 4 - 1:06d}.ckpt"]
    assert [epoch for epoch, _ in losses(tmp_path)] == list(range(1, step // 4 + 1))
    assert same(run(tmp_path, workers), read_state(straight)[0])
    assert losses(tmp_path) == losses(straight)
    assert (tmp_path / "heads.safetensors").read_bytes() == (straight / "heads.safetensors").read_bytes()
    assert (tmp_path / "network.safetensors").read_bytes() == (straight / "network.safetensors").read_bytes()


def test_local_features_that_were_killed_end_as_if_they_were_not_and_leave_the_network_alone(
    straight: Path, run: Run, tmp_path: Path
) -> None:
    def heads() -> dict[str, nn.Module]:
        torch.manual_seed(1)
        return {**make_heads(), "local": DelgTraining(48, PEOPLE)}

    run(tmp_path / "whole", heads=heads())
    with pytest.raises(Killed):
        run(tmp_path / "killed", tell=stop_at(6), heads=heads())
    run(tmp_path / "killed", heads=heads())
    for name in ("heads.safetensors", "network.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "whole" / "network.safetensors").read_bytes() == (straight / "network.safetensors").read_bytes()
    told = [row["local"] for row in read_curve(tmp_path / "killed" / "curve.csv")]
    assert told == [row["local"] for row in read_curve(tmp_path / "whole" / "curve.csv")]
    assert told[-1] < told[0]


def test_killed_between_the_curve_and_its_checkpoint_no_row_stands_twice(
    straight: Path, run: Run, tmp_path: Path
) -> None:
    def watch(epoch: int, network: nn.Module) -> dict[str, float]:
        assert copy.deepcopy(network) is not network
        if epoch == 2 and not (tmp_path / "was here").exists():
            (tmp_path / "was here").touch()
            raise Killed
        return {"seen": float(epoch)} if epoch % 2 == 0 else {}

    with pytest.raises(Killed):
        run(tmp_path, watch=watch)
    assert same(run(tmp_path, watch=watch), read_state(straight)[0])
    rows = read_curve(tmp_path / "curve.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert [row.get("seen") for row in rows] == [0, None, 2, None]
    assert losses(tmp_path) == losses(straight)


def test_a_checkpoint_cut_short_is_passed_over(straight: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, tell=stop_at(6))
    whole = tmp_path / "checkpoints" / "epoch=000000.ckpt"
    (tmp_path / "checkpoints" / "epoch=000001.ckpt").write_bytes(whole.read_bytes()[:5000])
    assert same(run(tmp_path), read_state(straight)[0])
    assert losses(tmp_path) == losses(straight)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_killed_after_the_last_epoch_before_the_network_is_written(
    ema: float, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(tmp_path / "straight", ema=ema)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "save_network", killed)
        with pytest.raises(Killed):
            run(tmp_path / "killed", ema=ema)
    assert same(run(tmp_path / "killed", ema=ema), wanted)
    assert losses(tmp_path / "killed") == losses(tmp_path / "straight")


def test_averaged_weights_lag_behind_and_survive_a_kill(straight: Path, run: Run, tmp_path: Path) -> None:
    averaged = run(tmp_path / "straight", ema=0.8)
    assert losses(tmp_path / "straight") == losses(straight)
    start = build_backbone("timm:test_efficientnet", (SIDE, SIDE)).network.state_dict()
    last = read_state(straight)[0]

    def way(state: dict[str, torch.Tensor]) -> float:
        return sum(float((state[k] - start[k]).square().sum()) for k in state if k.endswith("weight"))

    assert 0 < way(averaged) < way(last)
    with pytest.raises(Killed):
        run(tmp_path / "killed", ema=0.8, tell=stop_at(9))
    assert same(run(tmp_path / "killed", ema=0.8), averaged)


def test_too_few_photos_and_a_loss_that_explodes_are_refused(run: Run, photos: TrainingPhotos, tmp_path: Path) -> None:
    one = TrainingPhotos(photos.files[:1], [[None]], photos.individuals[:1], photos.species[:1], photos.frame, Augment(), 0)  # fmt: skip # noqa: E501
    backbone = build_backbone("timm:test_efficientnet", (SIDE, SIDE))
    with pytest.raises(FinblendError, match="there are 1 training photos; a batch needs 2"):
        fit(tmp_path, backbone, make_heads(), one, Recipe(), Machine("cpu", workers=0), ORIGIN)
    heads = make_heads()
    next(heads["individuals"].parameters()).data.fill_(float("nan"))
    with pytest.raises(FinblendError, match="the loss is nan in epoch 1: lower --lr-body and --lr-head"):
        fit(tmp_path, backbone, heads, photos, Recipe(), Machine("cpu", workers=0), ORIGIN)
    assert not (tmp_path / "network.safetensors").exists()
