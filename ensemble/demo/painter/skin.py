"""Skin of one flank: colour, pigment and scars, cut out along the animal's outline."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from ensemble.demo.painter.fields import as_image, colour_of, grid, mixed, noise, passed
from ensemble.demo.painter.individuals import Individual, Scar
from ensemble.demo.painter.outlines import HEIGHT, WATERLINE, outline

# edges are drawn larger and reduced, which smooths them
FINER = 2


def paint_skin(individual: Individual, flank: int, width: int) -> Image.Image:
    """Paint one side of an animal as RGBA, `width` pixels wide, head to the left.

    The colour reaches beyond the outline, so that turning and scaling leave no fringe.
    """
    height = round(width * HEIGHT)
    x, y = grid(width, height)
    side = individual.flanks[flank]
    rng = np.random.default_rng(side.pigment_seed)
    polygon = outline(individual)
    lifted = individual.species.flanks == ("fluke",)
    colour = _COLOURS[individual.species.name](individual, flank, x, y, rng)
    for pale in (True, False):
        scratched = _scratches(tuple(s for s in side.scars if s.pale == pale), polygon, lifted, width, height)
        colour = mixed(colour, scratched, colour_of(225, 222, 215) if pale else colour_of(22, 24, 28))
    cut = Image.new("L", (width * FINER, height * FINER))
    ImageDraw.Draw(cut).polygon([tuple(point) for point in polygon * width * FINER], fill=255)
    skin = as_image(colour)
    skin.putalpha(cut.reduce(FINER))
    return skin


def _scratches(scars: tuple[Scar, ...], polygon: np.ndarray, lifted: bool, width: int, height: int) -> np.ndarray:
    """How strongly each pixel is scratched, in [0, 1]."""
    layer = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(layer)
    scale = width * FINER
    t = np.linspace(-0.5, 0.5, 12)
    for scar in scars:
        x = 0.08 + 0.84 * scar.x
        near = polygon[np.abs(polygon[:, 0] - x) < 0.02, 1]
        # flukes end where the sea or the sky behind them begins, a back at the water
        top, bottom = near.min(), min(near.max(), WATERLINE) if lifted else WATERLINE - 0.02
        y = top + scar.y * (bottom - top)
        along = np.array([np.cos(scar.angle), np.sin(scar.angle)])
        across = np.array([-along[1], along[0]])
        curve = [x, y] + scar.length * (t[:, None] * along + scar.bend * (t[:, None] ** 2) * across)
        for line in range(scar.lines):
            shifted = (curve + 0.012 * line * across) * scale
            draw.line(
                [tuple(p) for p in shifted],
                fill=round(255 * scar.strength),
                width=max(2, round(scar.width * scale)),
                joint="curve",
            )
    return np.asarray(layer.reduce(FINER), dtype=np.float32) / 255


def _plain(x: np.ndarray, y: np.ndarray, tone: float, colour: np.ndarray) -> np.ndarray:
    return np.asarray(np.broadcast_to(colour * (1 + 0.1 * tone), (3, y.size, x.size)))


def _dolphin(animal: Individual, flank: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = y.size, x.size
    pigment = animal.flanks[flank].pigment
    colour = _plain(x, y, animal.tone, colour_of(104, 112, 122))
    # paler towards the belly, with a blaze of its own
    colour = mixed(
        colour, 0.55 * passed(y - 0.53 + 0.02 * noise(rng, width, height, 4), 0.14), colour_of(176, 178, 180)
    )
    colour = mixed(
        colour, 0.65 * passed(noise(rng, width, height, 8) - 1.9 + 1.5 * pigment, 0.5), colour_of(158, 162, 166)
    )
    colour = mixed(
        colour, 0.75 * passed(noise(rng, width, height, 11) - 2.3 + 0.6 * rng.random(), 0.3), colour_of(48, 52, 60)
    )
    return colour


def _orca(animal: Individual, flank: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = y.size, x.size
    pigment = animal.flanks[flank].pigment
    colour = _plain(x, y, animal.tone, colour_of(30, 32, 38))
    wobble = noise(rng, width, height, 7)
    hook = rng.uniform(-0.5, 0.9)
    dx, dy = (x - 0.63 - 0.03 * rng.standard_normal()) / (0.13 + 0.05 * pigment), (y - 0.535) / 0.062
    saddle = 1 - np.hypot(dx + hook * dy, dy + 0.35 * dx) + 0.3 * wobble
    colour = mixed(colour, 0.85 * passed(saddle, 0.2), colour_of(178, 182, 186))
    # some saddles are open: a dark finger reaches in
    finger = 1 - np.hypot((x - 0.62) / rng.uniform(0.03, 0.1), (y - 0.55) / 0.025) + 0.3 * wobble
    colour = mixed(colour, (rng.random() < 0.5) * passed(finger, 0.3), colour_of(34, 36, 42))
    tilt = rng.uniform(-0.4, 0.4)
    dx, dy = (x - 0.14) / rng.uniform(0.05, 0.075), (y - 0.555) / rng.uniform(0.018, 0.03)
    colour = mixed(colour, passed(1 - np.hypot(dx, dy + tilt * dx), 0.25), colour_of(238, 238, 235))
    return colour


def _fin_whale(animal: Individual, flank: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = y.size, x.size
    pigment = animal.flanks[flank].pigment
    colour = _plain(x, y, animal.tone, colour_of(84, 84, 88))
    colour = mixed(colour, 0.5 * passed(y - 0.54, 0.12), colour_of(132, 130, 130))
    wobble = noise(rng, width, height, 5)
    # the chevron: two pale arms from behind the head, apart towards the tail
    apex, opening = rng.uniform(0.08, 0.2), rng.uniform(0.18, 0.42)
    for arm in (-1.0, 0.5):
        middle = 0.47 + arm * opening * (x - apex) * 0.55 + 0.012 * wobble
        thick = rng.uniform(0.012, 0.026)
        stripe = np.exp(-(((y - middle) / thick) ** 2)) * passed(x - apex, 0.06) * passed(apex + 0.38 - x, 0.2)
        colour = mixed(colour, (0.5 + 0.35 * pigment) * stripe, colour_of(190, 186, 180))
    spots = passed(noise(rng, width, height, 20, 1) - 2.1 + 0.7 * pigment, 0.5)
    return mixed(colour, 0.6 * spots, colour_of(172, 168, 164))


def _gray_whale(animal: Individual, flank: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = y.size, x.size
    pigment = animal.flanks[flank].pigment
    colour = _plain(x, y, animal.tone, colour_of(88, 92, 98))
    colour = mixed(
        colour, 0.7 * passed(noise(rng, width, height, 8, 3) - 1.0 + 0.9 * pigment, 0.8), colour_of(150, 152, 152)
    )
    colour = mixed(
        colour, 0.8 * passed(noise(rng, width, height, 24) - 1.9 + 0.7 * pigment, 0.5), colour_of(196, 194, 188)
    )
    colour = mixed(colour, 0.6 * passed(noise(rng, width, height, 12) - 1.5, 0.5), colour_of(56, 58, 64))
    # barnacles grow in clusters
    clusters = passed(noise(rng, width, height, 5, 1) - 1.3, 0.4) * passed(noise(rng, width, height, 46, 1) - 0.4, 0.6)
    return mixed(colour, 0.85 * clusters, colour_of(222, 212, 186))


def _flukes(animal: Individual, flank: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = y.size, x.size
    pigment = animal.flanks[flank].pigment
    colour = _plain(x, y, animal.tone, colour_of(38, 40, 46))
    wobble = noise(rng, width, height, 7, 3)
    # white lies on both lobes alike, apart from the middle; from nearly black to nearly white animals
    lobe = np.abs(x - 0.5)
    field = 1.1 - np.hypot((lobe - 0.23) / 0.16, (y - 0.27) / 0.12) + 0.75 * wobble + 2.6 * (pigment - 0.55)
    white = passed(field, 0.3) * passed(lobe - 0.035 + 0.012 * wobble, 0.03)
    colour = mixed(colour, 0.93 * white, colour_of(226, 228, 226))
    colour = mixed(colour, 0.8 * white * passed(noise(rng, width, height, 22) - 1.8, 0.5), colour_of(50, 52, 58))
    rings = np.abs(noise(rng, width, height, 18, 1) - 1.9)
    return mixed(colour, 0.7 * np.clip(1 - rings / 0.22, 0, 1) * (1 - white), colour_of(190, 192, 192))


_COLOURS = {
    "bottlenose_dolphin": _dolphin,
    "killer_whale": _orca,
    "fin_whale": _fin_whale,
    "gray_whale": _gray_whale,
    "humpback_whale": _flukes,
}
