"""Non-maximum suppression in plain torch, for where torchvision's compiled operator is missing (`backbones.vision`)."""

from __future__ import annotations

import torch
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box, drop those that overlap it, and so on with what is left: `torchvision::nms`, greedy and exact.

    Parameters
    ----------
    boxes : (n, 4) Tensor
        x1, y1, x2, y2.
    scores : (n,) Tensor
    iou_threshold : float
        A box whose intersection with a better one is more than this share of their union is dropped.

    Returns
    -------
    (k,) int64 Tensor
        Indices of the boxes that are kept, the best first; of equals the one that stands first.

    Examples
    --------
    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    >>> nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
    tensor([1, 2])
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = torch.argsort(scores, descending=True, stable=True)
    kept = []
    # a round a kept box, each over all that are left: what is kept is little, and memory stays that of the boxes
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[left, :2])
        high = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        # boxes without area overlap nothing: 0 / 0 is no number, and no number is more than the threshold
        left = left[~(shared / (area[best] + area[left] - shared) > iou_threshold)]
    return torch.stack(kept) if kept else left
