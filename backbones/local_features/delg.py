"""`delg:RUN`: local features of a network that `finblend train --local` trained (DELG, Cao et al. 2020).

A photo is shown in several sizes, each a pyramid's level, with its own proportions; every position of every level is a
feature, and the strongest by attention are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from backbones.adapters import Backbone, build_backbone
from backbones.adapters.stride_map import STRIDE, StrideMap
from backbones.layers import DelgHead
from backbones.local_features.contract import UNKNOWN_ANGLE, LocalFeatures
from backbones.local_features.learned import device_here, ready
from backbones.weights import fill
from backbones.weights.saved import HEADS_FILE, NETWORK_FILE, Origin, read_origin
from cv.errors import FinblendError
from cv.files import sha256_of

_HEAD = "local.head."
# of the side of the network's own input
SCALES = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)
# a network runs on photos no smaller, and a sliver is shown no longer than so many times its input
LEAST, LONGEST = 2 * STRIDE, 8
HOW = "finblend train P MODEL --backbone NETWORK --images DIR --local, then delg:P/runs/MODEL/fold-K"


@dataclass(frozen=True, kw_only=True)
class DelgExtractor:
    """A network, its head for local features, and how photos are shown to it.

    Attributes
    ----------
    name, width, fingerprint
        See `LocalExtractor`.
    keypoints : int
        Features a photo, at most.
    origin : Origin
        What the network says of itself, the labels that it has seen among it: its features have seen them, too.
    backbone : Backbone
    head : DelgHead
    stride_map : StrideMap
    centre : float
        Of the first position, in pixels.
    device : torch.device
    scales : tuple of float
    """

    name: str
    width: int
    fingerprint: str
    keypoints: int
    origin: Origin
    backbone: Backbone
    head: nn.Module
    stride_map: StrideMap
    centre: float
    device: torch.device
    scales: tuple[float, ...] = SCALES
    # it takes all cores, or a GPU
    in_workers: bool = False

    @torch.inference_mode()
    def extract(self, photo: np.ndarray) -> LocalFeatures:
        """Extract the strongest of all sizes; a photo of one colour has none."""
        if (photo == photo[:1, :1]).all():
            return LocalFeatures.none(self.width)
        image = Image.fromarray(np.ascontiguousarray(photo))
        # small networks' smallest levels may be one
        sizes = dict.fromkeys(self._size(image, scale) for scale in self.scales)
        places, descriptors, scores = zip(*(self._level(image, size) for size in sizes), strict=True)
        every = np.concatenate(places), np.concatenate(descriptors), np.concatenate(scores)
        return LocalFeatures.strongest(*every, self.keypoints)

    def _size(self, image: Image.Image, scale: float) -> tuple[int, int]:
        """Width and height of a level: at 1 as many pixels as the network's input, each a multiple of the stride."""
        height, width = self.backbone.height, self.backbone.width
        shrink = scale * (height * width / (image.width * image.height)) ** 0.5
        longest = LONGEST * max(height, width) // STRIDE * STRIDE
        across, down = (min(max(STRIDE * round(side * shrink / STRIDE), LEAST), longest) for side in image.size)
        return across, down

    def _level(self, image: Image.Image, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All features of one size."""
        shown = np.array(image.resize(size, Image.Resampling.BICUBIC))
        mean, std = (255 * torch.tensor(each, device=self.device) for each in (self.backbone.mean, self.backbone.std))
        pixels = torch.from_numpy(shown).to(self.device).float().sub_(mean).div_(std).permute(2, 0, 1)[None]
        described, attention = self.head(self.stride_map.of_photos(self.backbone.network, pixels))
        rows, columns = np.indices(attention.shape[1:]).reshape(2, -1)
        across, down = image.width / size[0], image.height / size[1]
        places = np.column_stack(
            [
                (STRIDE * columns + self.centre + 0.5) * across - 0.5,
                (STRIDE * rows + self.centre + 0.5) * down - 0.5,
                np.full(len(rows), STRIDE * (across * down) ** 0.5),
                np.full(len(rows), UNKNOWN_ANGLE),
            ]
        )
        return places, described[0].flatten(1).T.float().cpu().numpy(), attention.flatten().float().cpu().numpy()


def build(name: str, keypoints: int) -> DelgExtractor:
    """Build `delg:RUN`, the folder of a training run.

    Raises
    ------
    FinblendError
        If it is none, or no head for local features was trained in it: untrained attention looks nowhere.
    """
    argument = name.partition(":")[2]
    folder = Path(argument)
    files = folder / NETWORK_FILE, folder / HEADS_FILE
    if not argument or not all(file.is_file() for file in files):
        raise FinblendError(f"--features {name}: must be delg:RUN, a finished training run; attention is learnt: {HOW}")
    head = _head(name, files[1])
    backbone, origin = _network(name, folder)
    stride_map = StrideMap.of(backbone)
    device = device_here()
    ready(backbone.network, device)
    stamps = " ".join(sha256_of(file)[:16] for file in files)
    versions = " ".join(f"{library} {version(library)}" for library in ("torch", "timm", "pillow"))
    return DelgExtractor(
        name=name,
        width=head.width,
        # whoever changes what `extract` does counts `delg-1` on
        fingerprint=f"delg-1 {keypoints} scales {len(SCALES)} {stamps} {versions}",
        keypoints=keypoints,
        origin=origin,
        backbone=backbone,
        head=ready(head, device),
        stride_map=stride_map,
        centre=stride_map.centre(backbone.network),
        device=device,
    )


def _head(name: str, file: Path) -> DelgHead:
    try:
        state = {key.removeprefix(_HEAD): value for key, value in load_file(str(file)).items() if key.startswith(_HEAD)}
        if not state:
            raise FinblendError(f"--features {name}: was trained without --local; attention is learnt: {HOW}")
        width, channels = state["encoder.weight"].shape[:2]
        head = DelgHead(channels, width)
        head.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FinblendError(f"{file}: cannot be read as heads of a training run ({reason})") from None
    return head


def _network(name: str, folder: Path) -> tuple[Backbone, Origin]:
    origin = read_origin(folder)
    if origin is None:
        raise FinblendError(f"--features {name}: {folder / NETWORK_FILE} does not say what it has seen")
    backbone = build_backbone(origin.backbone, (origin.height, origin.width))
    fill(backbone, str(folder))
    mean, std = origin.normalisation
    return replace(backbone, mean=mean, std=std), origin
