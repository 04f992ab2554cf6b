"""The neck: from pooled features to the embedding."""

from __future__ import annotations

import torch
from torch import nn

from backbones.layers.gem import widened


class Neck(nn.Module):
    """A linear map, then batch normalisation (the neck of Luo et al., arXiv 1903.07071).

    The linear map has no bias: batch normalisation would subtract it again.

    Parameters
    ----------
    in_features, out_features : int >= 1
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=False)
        self.norm = nn.BatchNorm1d(out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed pooled features.

        Parameters
        ----------
        x : (B, in_features) tensor
            In training of two rows at least, or there is no variance to normalise by.

        Returns
        -------
        (B, out_features) float32 tensor (float64 if `x` is)
        """
        # embeddings are compared to the last digits, and this last step costs next to nothing in float32
        with torch.autocast(x.device.type, enabled=False):
            embedding: torch.Tensor = self.norm(self.linear(widened(x)))
        return embedding
