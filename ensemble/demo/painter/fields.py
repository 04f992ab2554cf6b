"""Fields of numbers over a picture: noise, colours as three planes, and their way to and from images."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


def grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pixels in picture widths: x as (1, width) and y as (height, 1) float32 arrays."""
    x = np.arange(width, dtype=np.float32)[None] / np.float32(width)
    y = np.arange(height, dtype=np.float32)[:, None] / np.float32(width)
    return x, y


def noise(rng: np.random.Generator, width: int, height: int, cells: float, layers: int = 2) -> np.ndarray:
    """Smooth noise with about `cells` blotches across, each further layer twice as fine and half as strong.

    Returns
    -------
    (height, width) float32 array
        Mean about 0, standard deviation about 1.
    """
    total = np.zeros((height, width), dtype=np.float32)
    for layer in range(layers):
        across = max(2, round(cells * 2**layer))
        down = max(2, round(across * height / width))
        coarse = rng.standard_normal((down, across), dtype=np.float32)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) / 2**layer
    return total * np.float32(1.2 / np.sqrt(sum(0.25**layer for layer in range(layers))))


def colour_of(red: float, green: float, blue: float) -> np.ndarray:
    """One colour, 0 to 255, to be spread over a picture: (3, 1, 1) float32."""
    return np.array([red, green, blue], dtype=np.float32)[:, None, None]


def mixed(colour: np.ndarray, share: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Colours (3, h, w) with a share (h, w) in [0, 1] of another."""
    # in place where it can be: fresh memory costs more than the sums
    result: np.ndarray = share * (other - colour)
    result += colour
    return result


def passed(field: np.ndarray, softness: float) -> np.ndarray:
    """From 0 to 1 where the field passes zero."""
    return np.asarray(np.clip(field / np.float32(softness) + 0.5, 0, 1))


def blurred(field: np.ndarray, radius: float) -> np.ndarray:
    """Blur of a (h, w) field in [0, 1]."""
    image = Image.fromarray((field * 255).astype(np.uint8))
    twice = image.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius))
    return np.asarray(twice, dtype=np.float32) / 255


def enlarged(field: np.ndarray, width: int, height: int) -> np.ndarray:
    """A field (h, w) with so many more pixels: (height, width) float32."""
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def as_image(colour: np.ndarray) -> Image.Image:
    """RGB image of (3, h, w) colours."""
    planes = np.clip(colour, 0, 255, out=np.empty_like(colour)).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])
