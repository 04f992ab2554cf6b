"""Weights as MiewID's and MegaDescriptor's makers published them: their names of parts, where they lie, their terms."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from embedded import Photos
from state_dicts import State, drawn, holds, refusal, saved

from backbones.adapters import Backbone, build_backbone, megadescriptor, miewid
from backbones.vision import load
from backbones.weights import fill, read_state

SIZE = (64, 64)
NON_COMMERCIAL = "the weights of BVRA/MegaDescriptor-T-224 are under CC BY-NC 4.0: not for commercial use"
NO_LICENCE = "the weights of conservationxlabs/miewid-msv3 state no licence: ask Conservation X Labs"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """MiewID around a small network."""
    monkeypatch.setattr(miewid, "NETWORK", "test_efficientnet")
    return build_backbone("miewid", SIZE)


def as_published(backbone: Backbone) -> tuple[State, State]:
    """A drawn state, under the network's own names and as version 3's file has it, with the head of its training."""
    state = drawn(backbone.network)
    head = {"final.weight": torch.rand(10, backbone.network.bn.num_features), "final.bias": torch.rand(10)}
    names = {name: "backbone.global_pool.p" if name == "pooling.p" else name for name in state}
    return state, {names[name]: tensor for name, tensor in state.items()} | head


def in_cache(folder: Path, repository: str, name: str, state: State) -> None:
    """A file of a repository as `huggingface_hub` keeps it on a machine."""
    kept = folder / f"models--{repository.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (kept / "snapshots" / ("0" * 40)).mkdir(parents=True)
    saved(kept / "snapshots" / ("0" * 40) / name, state)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub's cache, with nothing in it, on a machine without a network."""
    constants = load("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_miewid_fills_the_whole_network_under_the_names_of_either_release(small: Backbone, tmp_path: Path) -> None:
    state, published = as_published(small)
    filled = fill(small, saved(tmp_path / "model.safetensors", published))
    assert holds(small.network, state)
    assert (filled.untrained, filled.origin) == ((), None)
    assert filled.terms.startswith(NO_LICENCE)
    # the code that trains it keeps the exponent beside the network
    other = drawn(small.network, seed=2)
    fill(small, saved(tmp_path / "checkpoint.bin", other | {"final.weight": torch.rand(3, 4)}))
    assert holds(small.network, other)


def test_a_copy_of_a_repository_is_weights(small: Backbone, tmp_path: Path) -> None:
    state, published = as_published(small)
    (tmp_path / "config.json").write_text("{}")
    file = saved(tmp_path / "model.safetensors", published)
    assert fill(small, str(tmp_path)).sha256 == fill(small, file).sha256
    assert holds(small.network, state)


def test_the_hub_is_asked_for_the_repository_and_its_cache_is_enough(small: Backbone, offline: Path) -> None:
    told = refusal(small, "hub")
    assert told.startswith("--weights hub: the weights of conservationxlabs/miewid-msv3 could not be fetched (")
    assert told.endswith("; give --weights FILE, or 'random'")
    state, published = as_published(small)
    in_cache(offline, "conservationxlabs/miewid-msv3", "model.safetensors", published)
    filled = fill(small, "hub")
    assert holds(small.network, state)
    assert (filled.source, filled.untrained) == ("hub", ())
    assert filled.terms.startswith(NO_LICENCE)


def test_a_file_of_the_network_inside_alone_fills_it_and_leaves_the_rest(small: Backbone, tmp_path: Path) -> None:
    state = drawn(small.body_module)
    filled = fill(small, saved(tmp_path / "timm.safetensors", state))
    assert holds(small.body_module, state)
    assert (filled.untrained, filled.terms) == (("pooling", "bn"), "")


def test_what_a_wrong_file_lacks_is_told(small: Backbone, tmp_path: Path) -> None:
    _, published = as_published(small)
    del published["bn.running_var"]
    assert refusal(small, saved(tmp_path / "a.safetensors", published)).endswith("it lacks bn.running_var")
    told = refusal(small, saved(tmp_path / "b.safetensors", drawn(torch.nn.Linear(2, 2))))
    assert "it lacks conv_stem.weight" in told
    assert "has in surplus bias, weight" in told or "has in surplus weight, bias" in told
    (tmp_path / "empty").mkdir()
    assert "holds no network.safetensors, model.safetensors or pytorch_model.bin" in refusal(small, tmp_path / "empty")


def test_miewids_file_has_the_parts_of_the_real_network() -> None:
    with torch.device("meta"):
        backbone = build_backbone("miewid")
        inside = load("timm").create_model("efficientnetv2_rw_m", num_classes=0).state_dict()
    # as two independent loaders of the published file fill it, none left over (see the adapter)
    published = [f"backbone.{name}" for name in inside] + ["backbone.global_pool.p", "final.weight", "final.bias"]
    published += [f"bn.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    assert backbone.published is not None
    assert backbone.published.own_names(dict.fromkeys(published)).keys() == backbone.network.state_dict().keys()


def test_retries_of_the_hub_are_one_line(
    small: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def unreachable(_: str, name: str, *, local_files_only: bool) -> str:
        asked.append((name, local_files_only))
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s")
        raise OSError("[Errno 111] Connection refused")

    monkeypatch.setattr(load("huggingface_hub"), "hf_hub_download", unreachable)
    assert "could not be fetched ([Errno 111] Connection refused)" in refusal(small, "hub")
    assert not caplog.records
    # a network that is gone is asked once
    assert asked == [("model.safetensors", True), ("pytorch_model.bin", True), ("model.safetensors", False)]


def test_megadescriptor_fills_from_a_checkpoint_of_an_older_timm(
    offline: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    backbone = build_backbone("megadescriptor-t-224", SIZE)
    inside = load("timm").create_model(megadescriptor.NETWORKS["t-224"], num_classes=0)
    state = {name: torch.full(tensor.shape, 0.01 * i) for i, (name, tensor) in enumerate(inside.state_dict().items())}
    # older releases reduce a map at the end of a stage, and keep buffers that newer ones compute
    older = {}
    for name, tensor in state.items():
        stage, _, rest = name.removeprefix("layers.").partition(".")
        older[f"layers.{int(stage) - 1}.{rest}" if rest.startswith("downsample") else name] = tensor
    older["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    in_cache(offline, "BVRA/MegaDescriptor-T-224", "pytorch_model.bin", {"model": older})
    filled = fill(backbone, "hub")
    assert (filled.terms, filled.untrained) == (NON_COMMERCIAL, ())
    assert not [each for each in recwarn if "timm" in each.filename]
    own = backbone.network.state_dict()
    tables = [name for name in own if name.endswith("relative_position_bias_table")]
    assert all(torch.equal(own[name], state[name]) for name in own.keys() - set(tables))
    # tables of the windows are resampled for the smaller map, and what is constant stays so
    assert all(torch.allclose(own[name], state[name][:1, :1]) for name in tables)
    assert read_state(next(offline.glob("*/snapshots/*/*")))[0].keys() == older.keys()


def test_the_terms_of_timms_weights_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("timm").models, "load_pretrained", lambda *_, **__: None)
    assert fill(build_backbone("timm:test_efficientnet"), "hub").terms == ""
    backbone = build_backbone("timm:test_efficientnet")
    for licence, told in (
        ("cc-by-nc-4.0", "are under CC BY-NC 4.0: not for commercial use"),
        ("dinov3-license", "are under the DINOv3 licence, with terms of its own: https://ai.meta.com/"),
        ("seer-license", "are under the licence seer-license: read it first"),
    ):
        backbone.network.pretrained_cfg["license"] = licence
        assert fill(backbone, "hub").terms.startswith(f"the weights of timm/test_efficientnet.r160_in1k {told}")
        assert fill(backbone, "random").terms == ""


def test_embed_tells_the_terms(small: Backbone, tmp_path: Path) -> None:
    photos = Photos(tmp_path)
    file = saved(tmp_path / "miewid.safetensors", small.network.state_dict())
    done = photos.embed("miewid", "--frozen", "--workers", "0", "--backbone", "miewid", "--weights", file)
    assert [line for line in done.stderr.splitlines() if "warning" in line] == [
        f"finblend: warning: {NO_LICENCE} before you publish or sell what is made with them"
    ]
