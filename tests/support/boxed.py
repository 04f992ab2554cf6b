"""Small photos of a bright patch on a dull ground, whose box is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# nothing of the ground is nearly as red
PATCH = (250, 30, 20)


def patch_photo(path: Path, size: tuple[int, int], box: tuple[int, int, int, int] | None, seed: int = 0) -> None:
    """A photo (width, height) of a patch; of the ground alone where there is no box."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 120, (size[1], size[0], 1), dtype=np.uint8).repeat(3, axis=2)
    if box is not None:
        x1, y1, x2, y2 = box
        ground[y1:y2, x1:x2] = PATCH
    Image.fromarray(ground).save(path, quality=95)


def seen(pixels: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box around what is red."""
    red = pixels[..., 0].astype(int) - pixels[..., 1] > 100
    if not red.any():
        return None
    down, across = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def patches(folder: Path, n: int, empty: int = 0, size: tuple[int, int] = (96, 72)) -> Path:
    """`photos/` of n patches and some of the ground alone, and `boxes.csv` of them all, with a column of encounters."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    rows = ["image,bbox,encounter"]
    for number in range(n + empty):
        width, height = rng.integers(24, 48, 2)
        x, y = rng.integers(0, size[0] - width), rng.integers(0, size[1] - height)
        box = (int(x), int(y), int(x + width), int(y + height)) if number < n else None
        patch_photo(folder / "photos" / f"p{number:02d}.jpg", size, box, number)
        cell = "" if box is None else f"[[{' '.join(map(str, box))}]]"
        rows.append(f"p{number:02d}.jpg,{cell},e{number // 2}")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder
