"""Generalised mean pooling, and the rule of precision that all layers and heads here share."""

from __future__ import annotations

import torch
from torch import nn

from cv.errors import FinblendError


def widened(x: torch.Tensor) -> torch.Tensor:
    """A float16 or bfloat16 tensor as float32; float32 and float64 as they are.

    Powers, norms and cosines are taken in at least float32, with autocast off: bfloat16 has three digits, in which a
    projection is not orthogonal and a cosine near 1 is 1.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class GeM(nn.Module):
    """Generalised mean pooling: (mean of x^p over the map)^(1/p), Radenovic et al., arXiv 1711.02512, eq. (3).

    p = 1 is the mean, p -> inf the maximum.

    Parameters
    ----------
    p : float > 0
        One exponent for all channels.
    trainable : bool
        Whether `p` is learned.
    eps : float > 0
        Features below it count as it: powers of negative numbers are not real.

    Examples
    --------
    >>> x = torch.tensor([1.0, 7.0, 7.0, 1.0]).reshape(1, 1, 2, 2)
    >>> mean, square = GeM(p=1.0)(x).item(), GeM(p=2.0)(x).item()
    >>> round(mean, 4), round(square, 4)  # (1 + 7) / 2 and the root of (1 + 49) / 2
    (4.0, 5.0)
    """

    def __init__(self, p: float = 3.0, trainable: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        if not 0.0 < p < float("inf"):
            raise FinblendError(f"0 < p < inf must hold for generalised mean pooling, but got p={p}")
        if not 0.0 < eps < float("inf"):
            raise FinblendError(f"0 < eps < inf must hold for generalised mean pooling, but got eps={eps}")
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=trainable)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool a map.

        Parameters
        ----------
        x : (B, C, H, W) tensor

        Returns
        -------
        (B, C) float32 tensor (float64 if `x` is)
        """
        with torch.autocast(x.device.type, enabled=False):
            x = widened(x).clamp_min(self.eps)
            p = self.p.to(x.dtype)
            # The peak cancels out, so its gradient is none and need not be followed; without it, 1e-6 ** 8 is 0 in
            # float32, and the root of 0 has a gradient that is not a number.
            peak = x.detach().amax((-2, -1), keepdim=True)
            pooled = (x / peak).pow(p).mean((-2, -1)).pow(1.0 / p)
            return pooled * peak[..., 0, 0]

    def extra_repr(self) -> str:
        """Its settings, for `print`."""
        return f"p={self.p.item():.4g}, trainable={self.p.requires_grad}, eps={self.eps}"
