"""Weights that are drawn, and whether they filled a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.adapters import Backbone, build_backbone
from backbones.weights import fill
from cv import FinblendError

SIZE = (64, 64)
State = dict[str, Tensor]


def gem() -> Backbone:
    """A body with pools and a neck beside it."""
    return build_backbone("timm-gem:test_efficientnet", SIZE)


def drawn(network: nn.Module, seed: int = 1) -> State:
    """Other weights for a network, none of them like those it was built with."""
    generator = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    return {n: torch.rand(t.shape, generator=generator).add(0.5).to(t.dtype) for n, t in state.items()}


def saved(path: Path, state: Any) -> str:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


def holds(network: nn.Module, state: State) -> bool:
    own = network.state_dict()
    return own.keys() <= state.keys() and all(torch.equal(own[name], state[name]) for name in own)


def refusal(backbone: Backbone, weights: str | Path) -> str:
    before = {name: tensor.clone() for name, tensor in backbone.network.state_dict().items()}
    with pytest.raises(FinblendError) as caught:
        fill(backbone, str(weights))
    assert "\n" not in str(caught.value)
    assert str(weights) in str(caught.value)
    assert holds(backbone.network, before), "a refused file changed the network"
    return str(caught.value)
