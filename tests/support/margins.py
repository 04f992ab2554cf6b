"""Embeddings and labels for the heads, and the loss by its formula."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from backbones.heads import MarginHead

WIDTH, CLASSES, PHOTOS = 6, 5, 40


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_labels(n: int = PHOTOS, classes: int = CLASSES) -> torch.Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(9))


def wide_angles(head: MarginHead, labels: torch.Tensor) -> torch.Tensor:
    """Embeddings at angles from 0 to pi from their class's first centre: margins act, and past pi - m another rule."""
    centre = F.normalize(head.weight.detach().double()[labels * head.sub_centers], dim=1)
    away = drawn(len(labels), centre.shape[1], seed=5)
    away = F.normalize(away - (away * centre).sum(1, keepdim=True) * centre, dim=1)
    angle = torch.linspace(0.05, math.pi - 0.01, len(labels), dtype=torch.float64)[:, None]
    return 3.0 * (angle.cos() * centre + angle.sin() * away)


def formula(head: MarginHead, embeddings: torch.Tensor, labels: torch.Tensor, margins: np.ndarray) -> float:
    """ArcFace in numpy, photo by photo, by angles; `margins` has one a class."""
    e, w = embeddings.double().numpy(), head.weight.detach().double().numpy()
    w = w.reshape(head.classes, head.sub_centers, -1)
    losses = []
    for x, y in zip(e, labels.tolist(), strict=True):
        cos = np.array([max(x @ c / np.linalg.norm(x) / np.linalg.norm(c) for c in centres) for centres in w])
        theta, m = np.arccos(np.clip(cos[y], -1, 1)), margins[y]
        if head.easy_margin:
            cos[y] = np.cos(theta + m) if theta < np.pi / 2 else cos[y]
        else:
            cos[y] = np.cos(theta + m) if theta + m <= np.pi else cos[y] - m * np.sin(m)
        z = head.scale * cos
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        s = head.label_smoothing
        losses.append(-(1 - s) * log_p[y] - s * log_p.mean())
    return float(np.mean(losses))
