"""The same head from pytorch-metric-learning, for what that has."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from backbones.heads.margins import checked_margin
from backbones.layers.gem import widened
from backbones.vision import load

# the library takes arccos, whose slope at 1 is infinite: an embedding on its centre would end the training
NEAREST = 1.0 - 1e-6


def _held_off_one(_distance: nn.Module, _inputs: Any, cosine: torch.Tensor) -> torch.Tensor:
    return cosine.clamp(-NEAREST, NEAREST)


class LibraryHead(nn.Module):
    """`ArcFaceLoss`, or `SubCenterArcFaceLoss` from two sub-centres on, with the methods of `MarginHead`.

    Centres start as those of `MarginHead` do (Xavier, uniform) and not from the library's standard normal ones: only
    the direction of a centre counts, and centres 100 times as long turn 100 times as slowly under Adam.

    Parameters
    ----------
    width : int
        Of the embeddings.
    classes : int
    scale : float > 0
    margin : float in [0, pi/2)
        In radians; the library's own are degrees.
    sub_centers : int >= 1

    Raises
    ------
    FinblendError
        If pytorch-metric-learning is not installed; the message says how to.
    """

    def __init__(
        self, width: int, classes: int, *, scale: float = 30.0, margin: float = 0.3, sub_centers: int = 1
    ) -> None:
        super().__init__()
        losses = load("pytorch_metric_learning.losses")
        settings: dict[str, Any] = {
            "num_classes": classes,
            "embedding_size": width,
            "margin": math.degrees(float(checked_margin(margin))),
            "scale": scale,
            "weight_init_func": nn.init.xavier_uniform_,
        }
        if sub_centers == 1:
            self.loss = losses.ArcFaceLoss(**settings)
        else:
            self.loss = losses.SubCenterArcFaceLoss(sub_centers=sub_centers, **settings)
        self.loss.distance.register_forward_hook(_held_off_one)

    def cosines(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Cosine to the nearest centre of each class: (B, width) to (B, classes) float32 in (-1, 1)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine: torch.Tensor = self.loss.get_cosine(widened(embeddings))
            return cosine

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, averaged over the photos: (B, width) and (B,) int64 labels to () float32."""
        # the library casts its centres to the type of the embeddings, for good: never hand it half precision
        with torch.autocast(embeddings.device.type, enabled=False):
            loss: torch.Tensor = self.loss(widened(embeddings), labels)
            return loss
