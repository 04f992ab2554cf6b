"""Local features of a network's map by attention, after Cao, Araujo and Sim, "DELG" (ECCV 2020, arXiv 2001.05027).

As there: attention of two 1x1 convolutions and a softplus, an autoencoder of two 1x1 convolutions, both trained on a
map through which no gradient goes back, by a reconstruction (eq. 7) and the cross-entropy of what attention pools (eq.
8 and 9). Other than there: the map's channels are standardised first, as maps of timm's networks differ in scale by
orders, and no ReLU ends the decoder, as they are negative where a stage ends in a linear bottleneck.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 40
HIDDEN = 128
# the paper's lambda and beta
RECONSTRUCTION, ATTENTION = 10.0, 1.0


class DelgHead(nn.Module):
    """Where to look on a map, and what is there in few numbers.

    Parameters
    ----------
    channels : int
        Of the map.
    width : int
        Of a descriptor; no more than there are channels are made.

    Examples
    --------
    >>> descriptors, attention = DelgHead(48).eval()(torch.ones(2, 48, 5, 7))
    >>> list(descriptors.shape), list(attention.shape)
    ([2, 40, 5, 7], [2, 5, 7])
    """

    def __init__(self, channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.width = min(width, channels)
        self.standard = nn.BatchNorm2d(channels, affine=False)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, HIDDEN, 1, bias=False),
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, 1, 1),
            nn.Softplus(),
        )
        self.encoder = nn.Conv2d(channels, self.width, 1, bias=False)
        self.decoder = nn.Conv2d(self.width, channels, 1, bias=False)
        # at first a projection, which keeps angles as well as any that has learnt nothing
        nn.init.orthogonal_(self.encoder.weight)
        self.decoder.weight.data.copy_(self.encoder.weight.data.transpose(0, 1))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Describe every position.

        Parameters
        ----------
        maps : (B, C, h, w) tensor

        Returns
        -------
        (B, width, h, w) tensor
            Of length 1 at every position.
        (B, h, w) tensor
            Attention, >= 0.
        """
        maps = self.standard(maps)
        return F.normalize(self.encoder(maps), dim=1), self.attention(maps)[:, 0]


class DelgTraining(nn.Module):
    """The head with what teaches it.

    Parameters
    ----------
    channels, classes : int
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.head = DelgHead(channels)
        self.classifier = nn.Linear(channels, classes)

    def parts(self, maps: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the reconstruction, and cross-entropy of the pooled reconstruction.

        Parameters
        ----------
        maps : (B, C, h, w) tensor
            Of a network that learns nothing from this.
        labels : (B,) int64 tensor
        """
        # attention and descriptors follow the network, and must not lead it
        maps = self.head.standard(maps.detach().float())
        rebuilt = self.head.decoder(self.head.encoder(maps))
        # as long as a standardised vector is, or the classifier would have to grow first
        directions = F.normalize(rebuilt, dim=1) * rebuilt.shape[1] ** 0.5
        pooled = (self.head.attention(maps) * directions).mean(dim=(2, 3))
        return F.mse_loss(rebuilt.float(), maps), F.cross_entropy(self.classifier(pooled).float(), labels)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Sum of both, weighted as in the paper."""
        reconstruction, classification = self.parts(maps, labels)
        return torch.add(RECONSTRUCTION * reconstruction, classification, alpha=ATTENTION)
