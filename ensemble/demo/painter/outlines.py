"""Outlines of animals: polygons in a frame one wide and HEIGHT high, y downwards, head to the left."""

from __future__ import annotations

import numpy as np

from ensemble.demo.painter.individuals import Individual, Notch

HEIGHT = 0.75
# the calm water surface in the frame; what lies below is never seen
WATERLINE = 0.58


def outline(individual: Individual) -> np.ndarray:
    """Polygon of an animal.

    Returns
    -------
    (n, 2) float array
        x, y of its corners.
    """
    return _OUTLINES[individual.species.name](individual)


def _bezier(*corners: tuple[float, float], points: int = 60) -> np.ndarray:
    """Cubic Bezier curve through four corners."""
    t = np.linspace(0, 1, points)[:, None]
    a, b, c, d = (np.array(corner) for corner in corners)
    return np.asarray((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d)


def _worn(edge: np.ndarray, notches: tuple[Notch, ...], seed: int, ragged: float, tip: float) -> np.ndarray:
    """Trailing edge with its notches and small unevenness, both inwards; the tip is at its start (0) or end (1)."""
    step = np.gradient(edge, axis=0)
    length = np.linalg.norm(step, axis=1, keepdims=True)
    inwards = np.stack([-step[:, 1], step[:, 0]], axis=1) / np.maximum(length, 1e-9)
    along = np.cumsum(length) - length[0]
    total = along[-1]
    rng = np.random.default_rng(seed)
    depth = ragged * np.interp(along, np.linspace(0, total, 24), rng.random(24))
    for notch in notches:
        near = np.clip(1 - np.abs(along - notch.place * total) / notch.width, 0, 1)
        # a tip is thin, and what is cut through is lost
        depth += notch.depth * min(1.0, 0.3 + 1.8 * abs(notch.place - tip)) * near**0.7
    # nothing is taken from either end, where the edge joins the rest
    fade = np.clip(np.minimum(along, total - along) / (0.05 * total), 0, 1)
    return np.asarray(edge + inwards * (depth * fade)[:, None])


def _finned(individual: Individual, start: float, base: float, height: float, lean: float, arch: float) -> np.ndarray:
    """Back with one dorsal fin.

    Parameters
    ----------
    individual : Individual
    start, base, height, lean : float
        Where the fin begins, its length at the back, its height, and how far its tip lies behind its middle.
    arch : float
        Height of the back above the water.
    """
    shape = individual.shape

    def back(x: float) -> float:
        return WATERLINE - arch * (1 - ((x - 0.48) / 0.46) ** 2)

    end = start + base
    foot, heel = (start, back(start) + 0.004), (end, back(end) + 0.004)
    tip = (start + base / 2 + lean, back(start + base / 2) - height)
    bulge, hollow = 1 + 0.14 * shape.bulge, 1 + 0.22 * shape.hollow
    leading = _bezier(
        foot,
        (foot[0] + 0.26 * base, foot[1] - 0.42 * height * bulge),
        (tip[0] - 0.42 * base * bulge, tip[1] - 0.01 * height),
        tip,
    )
    trailing = _bezier(
        tip,
        (tip[0] - 0.02 * base, tip[1] + 0.12 * height),
        (heel[0] - 0.42 * base * hollow, heel[1] - 0.42 * height),
        heel,
        points=240,
    )
    trailing = _worn(trailing, individual.notches, individual.ragged_seed, 0.004, 0.0)
    front = np.array([(x, back(x)) for x in np.linspace(-0.1, start, 30)[:-1]])
    rear = np.array([(x, back(x)) for x in np.linspace(end, 1.1, 30)[1:]])
    return np.concatenate([front, leading, trailing[1:], rear, [(1.1, HEIGHT + 0.1), (-0.1, HEIGHT + 0.1)]])


def _dolphin(individual: Individual) -> np.ndarray:
    s = individual.shape
    base = 0.3 + 0.03 * s.width
    return _finned(individual, 0.36, base, 0.285 + 0.03 * s.height, 0.15 + 0.033 * s.lean, 0.11 + 0.01 * s.arch)


def _orca(individual: Individual) -> np.ndarray:
    s = individual.shape
    base = 0.2 + 0.02 * s.width
    return _finned(individual, 0.36, base, 0.37 + 0.05 * s.height, 0.07 + 0.035 * s.lean, 0.09 + 0.008 * s.arch)


def _fin_whale(individual: Individual) -> np.ndarray:
    s = individual.shape
    base = 0.14 + 0.014 * s.width
    return _finned(individual, 0.6, base, 0.105 + 0.016 * s.height, 0.085 + 0.02 * s.lean, 0.15 + 0.012 * s.arch)


def _gray_whale(individual: Individual) -> np.ndarray:
    """Finless back with a row of knuckles towards the tail."""
    s = individual.shape
    x = np.linspace(-0.1, 1.1, 400)
    y = WATERLINE - (0.19 + 0.015 * s.arch) * (1 - np.abs((x - 0.47) / 0.455) ** 2.3)
    rng = np.random.default_rng(individual.ragged_seed)
    count = int(rng.integers(5, 9))
    places = 0.5 + 0.02 * s.lean + np.cumsum(rng.uniform(0.035, 0.07, count))
    heights = (0.014 + 0.003 * s.height) * rng.uniform(0.5, 1.4, count) * np.linspace(1.5, 0.7, count)
    for place, height in zip(places, heights, strict=True):
        y -= height * np.exp(-(((x - place) / (0.02 + 0.003 * s.width)) ** 2))
    return np.concatenate([np.stack([x, y], axis=1), [(1.1, HEIGHT + 0.1), (-0.1, HEIGHT + 0.1)]])


def _flukes(individual: Individual) -> np.ndarray:
    """Tail lifted for a dive, seen from behind: both lobes, worn each in its own way."""
    s = individual.shape
    span, tip_y, cleft_y = 0.44 + 0.018 * s.width, 0.16 + 0.022 * s.lean, 0.21 + 0.014 * s.hollow
    stock = 0.042 + 0.005 * s.arch
    right: list[np.ndarray] = []
    for lobe in range(2):
        trailing = _bezier(
            (0.004, cleft_y),
            (0.1, cleft_y - 0.18 - 0.025 * s.bulge),
            (0.26, tip_y + 0.08 + 0.02 * s.height),
            (span, tip_y),
            points=300,
        )
        notches = individual.notches[lobe::2]
        trailing = _worn(trailing, notches, individual.ragged_seed + lobe, 0.016, 1.0)
        leading = _bezier(
            (span, tip_y),
            (span - 0.07, tip_y + 0.17 + 0.02 * s.height),
            (stock + 0.03, 0.31 + 0.02 * s.bulge),
            (stock, 0.45),
        )
        right.append(np.concatenate([trailing, leading[1:], [(stock * 1.5, HEIGHT + 0.1)]]))
    left = right[1][::-1] * [-1, 1]
    return np.concatenate([right[0], left]) + [0.5, 0.0]


_OUTLINES = {
    "bottlenose_dolphin": _dolphin,
    "killer_whale": _orca,
    "fin_whale": _fin_whale,
    "gray_whale": _gray_whale,
    "humpback_whale": _flukes,
}
