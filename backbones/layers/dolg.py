"""Deep orthogonal fusion of local and global features, Yang et al. (ICCV 2021), arXiv 2108.02927."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from backbones.layers.gem import GeM, widened
from backbones.layers.neck import Neck

# A global feature shorter than this has no direction to speak of: the less of it, the less is taken away.
SHORTEST = 1e-6


def orthogonal_part(local: torch.Tensor, globe: torch.Tensor) -> torch.Tensor:
    """Take from each local feature its projection on the global one.

    The projection is (f_l . f_g / |f_g|^2) f_g (eq. 3 of the paper). An implementation in wide use divides by |f_g|
    once only, which is a projection for |f_g| = 1 alone.

    Parameters
    ----------
    local : (B, C, H, W) tensor
    globe : (B, C) tensor
        Where it is 0, the local features come back as they are.

    Returns
    -------
    (B, C, H, W) float32 tensor (float64 if the inputs are), each of its features orthogonal to `globe`

    Examples
    --------
    >>> orthogonal_part(torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1), torch.tensor([[0.0, 10.0]])).flatten()
    tensor([3., 0.])
    """
    with torch.autocast(local.device.type, enabled=False):
        local, globe = widened(local), widened(globe)
        # f_g / |f_g| in both factors is the division by |f_g|^2, here held at 1e-12 from below
        unit = F.normalize(globe, dim=1, eps=SHORTEST)[:, :, None, None]
        return local - (local * unit).sum(1, keepdim=True) * unit


class LocalBranch(nn.Module):
    """Local features: three views by atrous convolution and one of the whole photo, weighted by attention.

    The parallel branches have `width // 2` channels each (as in the authors' code, github.com/feymanpriv/DOLG: 512 for
    1024) and are joined by a 1x1 convolution. A second one with batch normalisation gives features of length 1, and
    from them, through ReLU and a third one, a map of attention > 0 (softplus) that scales them.

    Parameters
    ----------
    in_channels : int
    width : int >= 2
        Channels of the result.
    dilations : tuple of int
        Steps of the 3x3 convolutions; zeros pad them, so that maps smaller than the step pass too.
    """

    def __init__(self, in_channels: int, width: int, dilations: tuple[int, ...] = (3, 6, 9)) -> None:
        super().__init__()
        each = width // 2
        self.atrous = nn.ModuleList(nn.Conv2d(in_channels, each, 3, padding=d, dilation=d) for d in dilations)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, each, 1), nn.ReLU())
        self.join = nn.Sequential(nn.Conv2d(each * (len(dilations) + 1), width, 1), nn.ReLU())
        self.features = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))
        self.attention = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Local features of a map.

        Parameters
        ----------
        x : (B, in_channels, H, W) tensor

        Returns
        -------
        (B, width, H, W) float32 tensor (float64 if `x` is)
            Each feature is as long as its attention.
        """
        views = [atrous(x) for atrous in self.atrous]
        views.append(self.whole(x).expand_as(views[0]))
        features = self.features(self.join(torch.cat(views, dim=1)))
        attention = self.attention(F.relu(features))
        with torch.autocast(x.device.type, enabled=False):
            return F.softplus(widened(attention)) * F.normalize(widened(features), dim=1, eps=SHORTEST)


class Dolg(nn.Module):
    """Local features made orthogonal to the global one, pooled, put beside it, and mapped to the embedding.

    EfficientNet-B7 gives 224 local and 640 global channels.

    Parameters
    ----------
    local_channels, global_channels : int
        Channels of the maps at stride 16 and 32.
    width : int >= 2
        Channels in which the two meet.
    embedding : int
    dilations : tuple of int
    p : float > 0
        Exponent that the pooling of the global map starts from.
    """

    def __init__(
        self,
        local_channels: int,
        global_channels: int,
        width: int = 512,
        embedding: int = 512,
        dilations: tuple[int, ...] = (3, 6, 9),
        p: float = 3.0,
    ) -> None:
        super().__init__()
        self.local = LocalBranch(local_channels, width, dilations)
        self.pool = GeM(p)
        self.globe = nn.Linear(global_channels, width)
        self.neck = Neck(2 * width, embedding)

    def forward(self, local_map: torch.Tensor, global_map: torch.Tensor) -> torch.Tensor:
        """Embed the two maps of a photo.

        Parameters
        ----------
        local_map : (B, local_channels, H, W) tensor, stride 16
        global_map : (B, global_channels, h, w) tensor, stride 32

        Returns
        -------
        (B, embedding) float32 tensor (float64 if the maps are), not normalised to length 1
        """
        globe = widened(self.globe(self.pool(global_map)))
        # The paper projects, sets the global feature beside each place, and pools by the mean. The projection is linear
        # in the local feature, so the mean may come first: the same numbers without two maps of float32.
        mean = self.local(local_map).mean((-2, -1), keepdim=True)
        embedding: torch.Tensor = self.neck(torch.cat([orthogonal_part(mean, globe).flatten(1), globe], dim=1))
        return embedding
