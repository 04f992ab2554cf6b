"""Weights that are fetched, and networks that are a file and take none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from handmade import onnx_file
from state_dicts import drawn, gem, holds, refusal
from torch import nn

from backbones.adapters import Backbone, build_backbone
from backbones.vision import load
from backbones.weights import fill
from cv import FinblendError


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(load("timm").models, "load_pretrained", fail)
    assert "test_efficientnet.r160_in1k could not be fetched (no route to host); give" in refusal(gem(), "hub")
    assert "no weights on timm's hub" in refusal(Backbone(nn.Linear(2, 2), 8, 8), "hub")


def test_the_hub_fills_the_body_and_must_fill_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = load("timm")
    state = drawn(timm.create_model("test_vit"))
    for source in ("load_state_dict_from_hf", "load_state_dict_from_url"):
        monkeypatch.setattr(f"timm.models._builder.{source}", lambda *_, **__: dict(state))
    backbone = build_backbone("timm-gem:test_vit", (64, 96))
    filled = fill(backbone, "hub")
    assert (filled.source, filled.untrained) == ("hub", ("pools", "neck"))
    assert holds(backbone.body_module, state | {"pos_embed": backbone.body_module.state_dict()["pos_embed"]})
    del state["blocks.1.mlp.fc1.weight"]
    with pytest.raises(FinblendError, match=r"they lack blocks\.1\.mlp\.fc1\.weight$"):
        fill(build_backbone("timm:test_vit"), "hub")


def test_a_network_that_is_a_file_takes_no_other_and_is_told_by_its_bytes(tmp_path: Path) -> None:
    files = [onnx_file(tmp_path / f"{op}.onnx", ["b", 3, 8, 8], op) for op in ("GlobalAveragePool", "GlobalMaxPool")]
    one, other = (build_backbone(f"onnx:{file}") for file in files)
    assert "weights are in its own file" in refusal(one, files[1])
    assert fill(one, "hub") == fill(one, "random")
    assert fill(one, "hub").untrained == ()
    assert fill(one, "hub").sha256 != fill(other, "hub").sha256
