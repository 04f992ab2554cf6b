"""An additive angular margin head with sub-centres, and all that the library has not."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from backbones.heads.margins import checked_margin
from backbones.layers.gem import widened
from cv.errors import FinblendError


class MarginHead(nn.Module):
    """ArcFace (Deng et al., arXiv 1801.07698) with sub-centres (Deng et al., ECCV 2020) and margins by class.

    The cross-entropy of scale * cos(theta), where the target has cos(theta + margin) instead. Past theta = pi - margin
    that would rise again; there it is cos(theta) - margin * sin(margin), as in the authors' code and in
    pytorch-metric-learning. With an easy margin, it is plain cos(theta) from pi/2 on.

    Parameters
    ----------
    width : int
        Of the embeddings.
    classes : int
    scale : float > 0
    margin : float or (classes,) array in [0, pi/2)
        In radians.
    sub_centers : int >= 1
        Centres of a class; the nearest counts.
    easy_margin : bool
        Give a margin only where cos(theta) > 0.
    label_smoothing : float in [0, 1)

    Attributes
    ----------
    weight : (classes * sub_centers, width) parameter
        Centres, those of class c from row c * sub_centers on; the whole state of the head.
    """

    margins: torch.Tensor | None

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        scale: float = 30.0,
        margin: float | np.ndarray = 0.3,
        sub_centers: int = 1,
        easy_margin: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        margins = checked_margin(margin)
        if margins.shape not in ((), (classes,)):
            raise FinblendError(f"margin must be one number or one a class ({classes}), but got shape={margins.shape}")
        self.classes, self.sub_centers, self.scale = classes, sub_centers, scale
        self.easy_margin, self.label_smoothing = easy_margin, label_smoothing
        self.margin = float(margins) if margins.ndim == 0 else None
        self.weight = nn.Parameter(torch.empty(classes * sub_centers, width))
        nn.init.xavier_uniform_(self.weight)
        # a setting, not a state: it moves with the module but is not saved with it
        by_class = None if margins.ndim == 0 else torch.tensor(margins, dtype=torch.float32)
        self.register_buffer("margins", by_class, persistent=False)

    def cosines(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Cosine to the nearest centre of each class.

        Parameters
        ----------
        embeddings : (B, width) tensor
            Of any length but 0.

        Returns
        -------
        (B, classes) float32 tensor (float64 if the embeddings and the head are) in [-1, 1]
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = F.linear(F.normalize(widened(embeddings)), F.normalize(widened(self.weight)))
            nearest = cosine.view(-1, self.classes, self.sub_centers).max(dim=2).values
            return nearest.clamp(-1.0, 1.0)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, averaged over the photos.

        Parameters
        ----------
        embeddings : (B, width) tensor
        labels : (B,) int64 tensor in [0, classes)

        Returns
        -------
        () float32 tensor (float64 if the embeddings and the head are) >= 0
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = self.cosines(embeddings)
            target = self._with_margin(cosine.gather(1, labels[:, None]).squeeze(1), labels)
            logits = self.scale * cosine.scatter(1, labels[:, None], target[:, None])
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def _with_margin(self, cosine: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the target's cosine becomes."""
        if self.margins is None:
            margin = torch.full_like(cosine, self.margin or 0.0)
        else:
            margin = self.margins.to(cosine.dtype)[labels]
        square = 1.0 - cosine * cosine
        # the root of 0 has an infinite slope, which where() alone would turn into "not a number"
        inside = square > 0
        sine = torch.where(inside, square, 1.0).sqrt() * inside
        turned = cosine * margin.cos() - sine * margin.sin()
        if self.easy_margin:
            return torch.where(cosine > 0, turned, cosine)
        return torch.where(cosine >= -margin.cos(), turned, cosine - margin * margin.sin())

    def extra_repr(self) -> str:
        """Its settings, for `print`."""
        margin = "by class" if self.margin is None else f"{self.margin:.4g}"
        return (
            f"classes={self.classes}, sub_centers={self.sub_centers}, scale={self.scale}, margin={margin}, "
            f"easy_margin={self.easy_margin}, label_smoothing={self.label_smoothing}"
        )
