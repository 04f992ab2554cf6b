"""Weights: what fits fills the network exactly, what does not is named in one line, and nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from state_dicts import drawn, gem, holds, refusal, saved
from torch import nn

from backbones.adapters import Backbone, build_backbone
from backbones.vision import load
from backbones.weights import Origin, fill, origin_of, read_state, save_network

ORIGIN = Origin("timm-gem:test_efficientnet", 64, 96, "squash", "0.5 0.5 0.5", "1 1 1", "fold-2", "ab" * 32, "cd ef")


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
def test_a_file_of_the_whole_network_fills_it(tmp_path: Path, name: str) -> None:
    backbone = gem()
    state = drawn(backbone.network)
    path = saved(tmp_path / name, state)
    filled = fill(backbone, path)
    assert holds(backbone.network, state)
    assert (filled.sha256, filled.source, filled.origin, filled.untrained) == (sha256(path), path, None, ())


@pytest.mark.parametrize("inner", ["test_efficientnet", "test_convnext", "test_vit", "test_vit2", "test_vit3"])
def test_a_checkpoint_of_timm_fills_the_body_and_its_classifier_is_left_out(tmp_path: Path, inner: str) -> None:
    classified = load("timm").create_model(inner)
    state = drawn(classified)
    path = saved(tmp_path / "w.safetensors", state)
    for family, untrained in (("timm", ()), ("timm-gem", ("pools", "neck"))):
        backbone = build_backbone(f"{family}:{inner}")
        built = {n: t.clone() for n, t in backbone.network.state_dict().items()}
        assert fill(backbone, path).untrained == untrained
        assert holds(backbone.body_module, state)
        beside = {n: t for n, t in backbone.network.state_dict().items() if n.startswith(("pools", "neck"))}
        assert all(torch.equal(tensor, built[name]) for name, tensor in beside.items())


def test_positions_learned_for_another_size_are_resampled(tmp_path: Path) -> None:
    state = drawn(load("timm").create_model("test_vit", num_classes=0))
    backbone = build_backbone("timm:test_vit", (64, 96))
    assert fill(backbone, saved(tmp_path / "w.safetensors", state)).untrained == ()
    own = backbone.network.state_dict()
    assert [name for name in own if not torch.equal(own[name], state.get(name, own[name]))] == ["pos_embed"] != []
    assert own["pos_embed"].shape[1] < state["pos_embed"].shape[1]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "network", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_checkpoints_are_unwrapped(tmp_path: Path, wrapper: str, prefix: str) -> None:
    backbone = gem()
    state = drawn(backbone.network)
    wrapped = {wrapper: {f"{prefix}{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    fill(backbone, saved(tmp_path / "w.pth", wrapped))
    assert holds(backbone.network, state)


def test_averaged_weights_come_before_the_others(tmp_path: Path) -> None:
    backbone = gem()
    averaged, last = drawn(backbone.network, 1), drawn(backbone.network, 2)
    fill(backbone, saved(tmp_path / "w.pth", {"state_dict": last, "state_dict_ema": averaged}))
    assert holds(backbone.network, averaged)


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    trap, path = Trap(tmp_path / "sprung"), tmp_path / "w.pth"
    if zipped:
        torch.save({"state_dict": gem().network.state_dict(), "args": trap}, path)
    else:
        path.write_bytes(pickle.dumps(trap, protocol=2))
    assert "cannot be read without unpickling" in refusal(gem(), path)
    assert not trap.path.exists()
    torch.load(path, weights_only=False) if zipped else pickle.loads(path.read_bytes())
    assert trap.path.exists(), "the trap works"


def test_what_is_no_file_of_weights_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("image,species,individual_id\n")
    told = "cannot be read as weights: it is neither a checkpoint of torch nor safetensors"
    assert refusal(gem(), path).endswith(f"train.csv: {told} (it begins with 'image,species,in')")
    path.write_bytes(b"\0\1\2\3" * 100)
    assert refusal(gem(), path).endswith(f"train.csv: {told}")
    path = Path(saved(tmp_path / "w.safetensors", gem().network.state_dict())).rename(tmp_path / "w.pth")
    assert refusal(gem(), path).endswith("w.pth: is a safetensors file under another name; call it .safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, suffix: str) -> None:
    path = Path(saved(tmp_path / f"w{suffix}", gem().network.state_dict()))
    whole = path.read_bytes()
    for content in (b"", whole[:4], whole[: len(whole) // 2], b"x" * 400):
        path.write_bytes(content)
        assert "cannot be read" in refusal(gem(), path)
    assert "no such file" in refusal(gem(), tmp_path / f"gone{suffix}")
    assert "holds no tensors" in refusal(gem(), saved(tmp_path / f"none{suffix}", {}))


def test_a_folder_must_be_a_training_run(tmp_path: Path) -> None:
    assert "is no finished training run" in refusal(gem(), tmp_path)
    (tmp_path / "fold-1").mkdir()
    network = gem().network
    save_network(tmp_path / "fold-1" / "network.safetensors", network, ORIGIN)
    assert "choose one of fold-1 in it" in refusal(gem(), tmp_path)
    filled = fill(gem(), str(tmp_path / "fold-1"))
    assert filled.sha256 == sha256(tmp_path / "fold-1" / "network.safetensors")
    assert filled.origin == origin_of(str(tmp_path / "fold-1")) == ORIGIN
    assert origin_of("hub") is origin_of("random") is None


def test_a_network_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    network, path = gem().network, tmp_path / "network.safetensors"
    # two names of one tensor, which safetensors alone would refuse
    network.again = network.neck
    save_network(path, network, ORIGIN)
    state, origin = read_state(path)
    assert origin == ORIGIN
    assert holds(network, state)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        json.dumps({**asdict(ORIGIN), "height": "64"}),
        json.dumps({**asdict(ORIGIN), "mean": "1 2"}),
        json.dumps({"backbone": "b"}),
    ],
)
def test_a_broken_header_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file(gem().network.state_dict(), path, metadata={"finblend": header})
    assert "its header is broken" in refusal(gem(), path)


def test_unknown_facts_in_the_header_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(gem().network.state_dict(), path, metadata={"finblend": json.dumps({**asdict(ORIGIN), "later": 1})})
    assert read_state(path)[1] == ORIGIN


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = gem().network.state_dict()
    first = "body.conv_stem.weight"
    lacking = {name: tensor for name, tensor in state.items() if name != first}
    for changed, told in (
        (lacking, f"it lacks {first}"),
        (state | {"body.blocks.9.weight": torch.ones(1)}, "it has in surplus body.blocks.9.weight"),
        (state | {first: torch.ones(2, 3)}, f"in another shape {first} [2, 3], not {list(state[first].shape)}"),
        (state | {first: torch.full_like(state[first], torch.nan)}, f"{first}: holds NaN or infinite"),
        (state | {"neck.running_var": torch.full_like(state["neck.running_var"], torch.inf)}, "holds NaN or infinite"),
    ):
        assert told in refusal(gem(), saved(tmp_path / "w.safetensors", changed))
    other = load("timm").create_model("test_resnet").state_dict()
    told = refusal(gem(), saved(tmp_path / "w.pth", other))
    assert "lacks conv_stem.weight" in told
    assert "has in surplus" in told
    assert "in another shape bn1.weight [32], not [24]" in told
    assert "in all)" in told


def test_old_checkpoints_lack_the_counter_of_batches(tmp_path: Path) -> None:
    state = {name: t for name, t in drawn(gem().network).items() if not name.endswith("num_batches_tracked")}
    fill(gem(), saved(tmp_path / "w.safetensors", state))


def test_random_leaves_the_weights_and_says_so() -> None:
    one, other = gem(), gem()
    filled = fill(one, "random")
    assert holds(one.network, other.network.state_dict())
    assert (filled.source, filled.untrained) == ("random", ("body", "pools", "neck"))
    with torch.no_grad():
        next(other.network.parameters()).flatten()[0] += 1
    assert len({filled.sha256, fill(gem(), "random").sha256}) == 1 != len({filled.sha256, fill(other, "random").sha256})


class Bare(nn.Module):
    """Weights of its own, and a body two levels down."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.net = nn.ModuleDict({"trunk": nn.Linear(3, 3), "neck": nn.Linear(3, 2)})


def test_parts_that_are_still_as_drawn_are_named_wherever_they_are(tmp_path: Path) -> None:
    assert fill(Backbone(Bare(), 8, 8), "random").untrained == ("scale", "net")
    path = saved(tmp_path / "w.safetensors", drawn(nn.Linear(3, 3)))
    assert fill(Backbone(Bare(), 8, 8, body="net.trunk"), path).untrained == ("scale", "net")
    network = nn.ModuleDict({"trunk": nn.Linear(3, 3), "act": nn.ReLU()})
    assert fill(Backbone(network, 8, 8, body="trunk"), path).untrained == ()
