"""What stands for a photo that could not be read: a direction of its own, which resembles nobody."""

from __future__ import annotations

import hashlib

import numpy as np


def stand_in(image: str, view: str, array: np.ndarray, readable: np.ndarray) -> np.ndarray:
    """Draw a random direction for a photo, as long as embeddings are.

    A zero would have no cosine; the mean embedding, or that of a grey photo, would resemble every blurred photo and
    every other unreadable one. A random direction in D dimensions has cosines of about D^-1/2 with everything.

    Parameters
    ----------
    image, view : str
        The seed.
    array : (n, D) float array
    readable : (n,) bool array
        Which rows are embeddings.

    Returns
    -------
    (D,) float32 array
    """
    seed = int.from_bytes(hashlib.sha256(f"{image}\n{view}".encode()).digest()[:8], "big")
    direction = np.random.default_rng(seed).standard_normal(array.shape[1])
    length = float(np.linalg.norm(array[np.flatnonzero(readable)[:256]], axis=1).mean()) if readable.any() else 1.0
    return np.asarray(direction * length / np.linalg.norm(direction), dtype=np.float32)
