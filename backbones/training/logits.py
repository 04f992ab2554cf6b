"""What trained heads say of every photo: the top cosines per individual, and species scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

TOP = 1000
_BLOCK = 4096


@torch.inference_mode()
def head_predictions(
    views: Mapping[str, np.ndarray], heads: Mapping[str, nn.Module], species_scale: float
) -> dict[str, np.ndarray]:
    """Score embeddings with the heads that trained them, as mean cosine over the views.

    Parameters
    ----------
    views : mapping of str to (n, D) float32 array
    heads : mapping of {"individuals", "species"} to head
    species_scale : float
        Factor on the species' cosines before the softmax.

    Returns
    -------
    dict
        `pred_idx` (n, k) int32 and `pred_logit` (n, k) float32, k = min(1000, classes), the best first; `pred_species`
        (n, species) float32, rows summing to 1, where there is a species head.
    """
    blocks: dict[str, list[np.ndarray]] = {}
    n = len(next(iter(views.values())))
    for start in range(0, n, _BLOCK):
        block = [torch.from_numpy(np.ascontiguousarray(array[start : start + _BLOCK])) for array in views.values()]
        cosines = {
            name: torch.stack([head.cosines(part) for part in block]).mean(dim=0)  # type: ignore[operator]
            for name, head in heads.items()
        }
        best = cosines["individuals"].topk(min(TOP, cosines["individuals"].shape[1]), dim=1)
        blocks.setdefault("pred_idx", []).append(best.indices.numpy().astype(np.int32))
        blocks.setdefault("pred_logit", []).append(best.values.numpy())
        if "species" in cosines:
            shares = torch.softmax(species_scale * cosines["species"], dim=1)
            blocks.setdefault("pred_species", []).append(shares.numpy())
    return {name: np.concatenate(parts) for name, parts in blocks.items()}
