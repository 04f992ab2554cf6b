"""Sea, sky and light of one encounter; its photos share them, and each sees another moment of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ensemble.demo.painter.fields import colour_of, grid, mixed

# a power of two
TILE = 256
RATIO = 0.75


@dataclass(frozen=True)
class Weather:
    """What the photos of one encounter share.

    Attributes
    ----------
    deep, sky : (3, 1, 1) float32 array
        Colours of the water and of the sky, 0 to 255.
    cast : (3, 1, 1) float32 array
        Factor on each colour of the whole photo.
    horizon : float
        Height of the horizon above the water line, in photo widths; above 0.5 it is out of the photo.
    swell : float
        How rough the sea is, about 1.
    ripple : float
        Size of the ripples, about 1.
    sun : float
        Direction of the light: -1 from the left, 1 from the right.
    sunlight : float
        0 (overcast) to 1 (low sun, hard light).
    coast : int or None
        Seed of the coast behind, if there is one.
    haze : float
        Lost contrast, 0 to 0.35.
    seed : int
        Of the waves.
    """

    deep: np.ndarray
    sky: np.ndarray
    cast: np.ndarray
    horizon: float
    swell: float
    ripple: float
    sun: float
    sunlight: float
    coast: int | None
    haze: float
    seed: int


_DEEP = ((22, 62, 84), (28, 78, 82), (44, 66, 76), (18, 48, 78), (52, 84, 92), (60, 70, 72))
_SKY = ((196, 214, 228), (208, 212, 214), (170, 200, 226), (222, 214, 202), (186, 196, 204))


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw the weather of an encounter."""
    deep = colour_of(*_DEEP[rng.integers(len(_DEEP))]) * rng.uniform(0.8, 1.15)
    sky = colour_of(*_SKY[rng.integers(len(_SKY))]) * rng.uniform(0.88, 1.05)
    warm = 0.05 * rng.standard_normal()
    open_view = rng.random() < 0.45
    return Weather(
        deep=deep,
        sky=sky,
        cast=colour_of(1 + warm, 1, 1 - warm),
        horizon=float(rng.uniform(0.2, 0.42) if open_view else rng.uniform(0.6, 1.4)),
        swell=float(rng.uniform(0.6, 1.5)),
        ripple=float(rng.uniform(0.7, 1.4)),
        sun=float(rng.uniform(-1, 1)),
        sunlight=float(rng.beta(1.2, 1.6)),
        coast=int(rng.integers(2**31)) if open_view and rng.random() < 0.6 else None,
        haze=float(rng.uniform(0, 0.3) ** 1.5),
        seed=int(rng.integers(2**31)),
    )


@lru_cache(maxsize=4)
def _waves(seed: int) -> np.ndarray:
    """Slopes of a wavy sea, a tile that repeats without seams: (TILE, TILE) float32, standard deviation 1."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.fft.rfftfreq(TILE) * TILE, np.fft.fftfreq(TILE) * TILE)
    # crests lie along x: wave numbers across count more than those down
    number = np.maximum(np.hypot(1.5 * across, down), 1)
    strength = np.where(number > 2, number**-0.9 * np.exp(-((number / 70) ** 2)), 0)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) * strength
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return np.asarray(tile / tile.std(), dtype=np.float32)


def paint_sea(weather: Weather, width: int, waterline: float, roll: float, rng: np.random.Generator) -> np.ndarray:
    """Sea up to the horizon, and what is behind it.

    Parameters
    ----------
    weather : Weather
    width : int
        Of the photo; it is RATIO as high.
    waterline : float
        Where the animal meets the water, in photo widths from the top.
    roll : float
        Slope of the horizon.
    rng : numpy.random.Generator
        Draws the moment.

    Returns
    -------
    (3, height, width) float32 array
        Colours, 0 to 255.
    """
    height = round(width * RATIO)
    x, y = grid(width, height)
    x = x - 0.5
    below = y - waterline - roll * x + weather.horizon
    near = np.maximum(below, 0.012)
    # a flat sea seen from a little above: distance falls as one over the angle below the horizon
    distance = weather.horizon / near
    tile = _waves(weather.seed % 4)
    start = rng.integers(0, TILE, 4)
    slope = np.zeros_like(below)
    for layer, (scale, strength) in enumerate(((190, 0.8), (640, 0.45))):
        scaled = scale / weather.ripple
        column = (x * distance * scaled).astype(np.int32) + start[2 * layer]
        row = (distance * (1.8 * weather.horizon) * scaled).astype(np.int32) + start[2 * layer + 1]
        slope += strength * tile.ravel()[(row & (TILE - 1)) * TILE + (column & (TILE - 1))]
    # ripples too far away to be seen apart average out
    slope *= weather.swell / np.sqrt(np.maximum(distance, 0.8))
    mirrored = np.clip(0.2 + 0.16 * np.log1p(distance) + 0.13 * slope, 0, 1)
    sea = mixed(weather.deep, mirrored, 0.85 * weather.sky)
    glints = np.clip(slope - 2.1 + 0.5 * weather.sunlight + 0.25 * weather.sun * x, 0, 1) * weather.sunlight
    sea += 150 * glints
    caps = np.clip(slope - 4.2 + 0.9 * weather.swell, 0, 0.6)
    sea = mixed(sea, caps, colour_of(235, 235, 235))
    if below[0, 0] >= 0 and below[0, -1] >= 0:
        return np.asarray(sea, dtype=np.float32)
    behind = _behind(weather, x, below)
    fade = np.clip(below * width / 1.5 + 0.5, 0, 1)
    return np.asarray(mixed(behind, fade, sea))


def _behind(weather: Weather, x: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Sky, paler towards the horizon, and perhaps a coast."""
    up = np.clip(-below, 0, 1)
    sky = weather.sky * (1.02 - 0.45 * up * (1 - weather.haze))
    if weather.coast is None:
        return np.asarray(sky)
    rng = np.random.default_rng(weather.coast)
    places = np.linspace(-0.6, 0.6, 60)
    ridge = np.zeros(60)
    for number in (1, 2, 4, 7, 12, 20):
        ridge += np.sin(2 * np.pi * (number * places + rng.random())) * rng.random() / number
    ridge = np.clip(0.045 + 0.035 * ridge, 0.004, None)
    inside = np.clip((np.interp(x[0], places, ridge) + below) * 300, 0, 1)
    far = 0.5 * weather.sky + 0.5 * colour_of(62, 80, 78)
    return mixed(sky, 0.85 * inside, far)
