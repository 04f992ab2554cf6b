"""Small pictures, and how they come out of the decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from backbones.photos import Frame

PLAIN = Frame(64, 96)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture whose four corners all differ."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    bands = [40 + 180 * x, 30 + 190 * y, 128 + 90 * np.sin(5 * x + 3 * y)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def apart(a: np.ndarray, b: Any) -> float:
    return float(np.abs(a.astype(float) - np.asarray(b, dtype=float)).mean())
