"""The network: FCOS (Tian et al. 2019) of torchvision over a feature pyramid on the stages of a timm network.

Anchor-free: every position of a map says how far it is to the four sides of the box that it lies in, so that there are
no shapes of boxes to be chosen beforehand, and an animal may be as long or as flat as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import create, stage_channels, stage_maps
from backbones.vision import load
from cv.errors import FinblendError

# of the three maps that the pyramid stands on; two more are made from the last one
STRIDES = (8, 16, 32)
WIDTH, CONVOLUTIONS = 96, 2
# a photo's boxes that are kept, and those with a lower score that are not
MOST, LEAST_SCORE = 100, 0.02
# two boxes of one class that share more than this of their union are one animal
OVERLAP = 0.5


@dataclass(frozen=True)
class Found:
    """The boxes found on one photo, the best first.

    Attributes
    ----------
    boxes : (n, 4) float32 Tensor
        x1, y1, x2, y2 in the frame's pixels.
    scores : (n,) float32 Tensor
        0 to 1.
    classes : (n,) int64 Tensor
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class Pyramid(nn.Module):
    """The last three stages of a timm network, joined from the deepest up, and two coarser maps."""

    def __init__(self, body: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        fpn = load("torchvision.ops.feature_pyramid_network")
        self.body = body
        self.pyramid = fpn.FeaturePyramidNetwork(list(channels), WIDTH, fpn.LastLevelP6P7(WIDTH, WIDTH))
        self.out_channels = WIDTH

    def forward(self, photos: Tensor) -> dict[str, Tensor]:
        """Maps (B, WIDTH, h, w), the finest first."""
        maps = stage_maps(self.body, photos, len(STRIDES))
        out: dict[str, Tensor] = self.pyramid(OrderedDict((str(level), each) for level, each in enumerate(maps)))
        return out


class _AsShown(nn.Module):
    """In place of torchvision's own resizing: photos come in the frame and normalised."""

    def forward(self, photos: Tensor, targets: Any = None) -> tuple[Any, Any]:
        images = load("torchvision.models.detection.image_list")
        height, width = photos.shape[-2:]
        return images.ImageList(photos, [(height, width)] * len(photos)), targets

    def postprocess(self, found: Any, _shown: Any, _before: Any) -> Any:
        return found


def build_detector(name: str, classes: int, size: tuple[int, int]) -> Backbone:
    """Build a detector whose body has weights as drawn.

    Parameters
    ----------
    name : str
        A network of timm whose last three stages have strides 8, 16 and 32.
    classes : int
    size : (int, int)
        Height and width of its frame, multiples of 32.

    Returns
    -------
    Backbone
        Its network is torchvision's FCOS: in training it takes photos and targets and gives losses.
    """
    if any(side % STRIDES[-1] for side in size):
        raise FinblendError(f"--size {size[0]}x{size[1]}: must be a multiple of {STRIDES[-1]}")
    body = create(name, size)
    channels = stage_channels(body, len(STRIDES), name)
    strides = tuple(int(stage["reduction"]) for stage in list(body.feature_info)[-len(STRIDES) :])  # type: ignore[arg-type]
    if strides != STRIDES:
        raise FinblendError(
            f"--network {name}: its last stages have strides {', '.join(map(str, strides))}; a detector needs "
            f"{', '.join(map(str, STRIDES))}"
        )
    detection = load("torchvision.models.detection.fcos")
    anchors = load("torchvision.models.detection.anchor_utils")
    # half a stride each: distances of 4 to 8 of these are a level's own. An animal fills much of its photo, and its box
    # is told by a map on which a step is an eighth of it; torchvision's levels are those of photos four times as large
    levels = [stride // 2 for stride in (*STRIDES, 2 * STRIDES[-1], 4 * STRIDES[-1])]
    head = detection.FCOSHead(WIDTH, 1, classes, CONVOLUTIONS)
    # as torchvision draws it, half of the distances begin below 0, where the rectifier lets no gradient through
    nn.init.constant_(head.regression_head.bbox_reg.bias, 6.0)
    network: nn.Module = detection.FCOS(
        Pyramid(body, channels),
        classes,
        anchor_generator=anchors.AnchorGenerator(tuple((level,) for level in levels), ((1.0,),) * len(levels)),
        head=head,
        # of half strides: two and a half strides around the middle of a box learn its sides. The paper's one and a half
        # keep neighbours apart, and few photos have any; the more positions learn, the fewer photos are needed
        center_sampling_radius=5.0,
        score_thresh=LEAST_SCORE,
        nms_thresh=OVERLAP,
        detections_per_img=MOST,
    )
    network.transform = _AsShown()
    facts: Any = body.pretrained_cfg
    return Backbone(network, *size, tuple(facts["mean"]), tuple(facts["std"]), "backbone.body")


def try_detector(name: str, size: tuple[int, int]) -> None:
    """Refuse a network that no detector can be made of, or that does not run at this size: before any photo is read."""
    backbone = build_detector(name, 1, size)
    try:
        Detector(backbone, torch.device("cpu"))(torch.zeros(1, *size, 3, dtype=torch.uint8))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise FinblendError(f"--network {name}: does not run on photos of {size[0]}x{size[1]} ({reason})") from None


@dataclass(frozen=True)
class Detector:
    """A detector ready to look.

    Attributes
    ----------
    backbone : Backbone
    device : torch.device
    """

    backbone: Backbone
    device: torch.device

    def normalised(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 on the CPU -> (B, 3, H, W) float32 on the device."""
        mean, std = (
            255 * torch.tensor(values, device=self.device).view(1, 3, 1, 1)
            for values in (self.backbone.mean, self.backbone.std)
        )
        return pixels.to(self.device).permute(0, 3, 1, 2).float().sub_(mean).div_(std)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> list[Found]:
        """The boxes on each photo of a batch."""
        self.backbone.network.eval()
        found = self.backbone.network(self.normalised(pixels))
        return [Found(*(each[key].float().cpu() if key != "labels" else each[key].cpu()
                        for key in ("boxes", "scores", "labels"))) for each in found]  # fmt: skip
