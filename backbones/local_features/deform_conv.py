"""Deformable convolution in plain torch, for where torchvision's compiled operator cannot load (see `vision`)."""

from __future__ import annotations

import torch
from torch import Tensor

from backbones.vision import load


def has_compiled_deform_conv() -> bool:
    """Whether torchvision's own operator is there."""
    load("torchvision")
    return hasattr(torch.ops.torchvision, "deform_conv2d")


def deform_conv2d(
    photo: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    mask: Tensor | None = None,
) -> Tensor:
    """Convolve at places that move: `torchvision.ops.deform_conv2d` with stride, dilation and groups of 1.

    Dai et al. 2017; with a mask, Zhu et al. 2019. Between pixels values are bilinear, beyond the edges they are 0.

    Parameters
    ----------
    photo : (b, c, h, w) Tensor
    offset : (b, 2 kh kw, ho, wo) Tensor
        Down and across of each of the kernel's parts, in turn.
    weight : (o, c, kh, kw) Tensor
    bias : (o,) Tensor, optional
    padding : (int, int)
        Down and across.
    mask : (b, kh kw, ho, wo) Tensor, optional
        What each part counts.

    Returns
    -------
    (b, o, ho, wo) Tensor
    """
    height, width = photo.shape[2:]
    down, across = offset[:, 0::2], offset[:, 1::2]
    y = torch.arange(down.shape[2], device=photo.device)[:, None] - padding[0]
    x = torch.arange(down.shape[3], device=photo.device)[None, :] - padding[1]
    out = photo.new_zeros(len(photo), len(weight), *down.shape[2:])
    for part in range(down.shape[1]):
        row, column = divmod(part, weight.shape[3])
        places = torch.stack(
            # the middle of pixel i of n is at (2 i + 1) / n - 1 there
            [
                (2 * (x + column + across[:, part]) + 1) / width - 1,
                (2 * (y + row + down[:, part]) + 1) / height - 1,
            ],
            dim=-1,
        )
        values = torch.nn.functional.grid_sample(photo, places, padding_mode="zeros", align_corners=False)
        if mask is not None:
            values = values * mask[:, part, None]
        out += torch.einsum("oc,bchw->bohw", weight[:, :, row, column], values)
    return out if bias is None else out + bias[:, None, None]
