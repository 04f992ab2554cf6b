"""What makes one animal itself: the shape of its fin and the marks it keeps for life."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Species:
    """What the animals of one species have in common.

    Attributes
    ----------
    name : str
        As in the catalogue's `species` column.
    short : str
        Start of its individuals' names.
    share : float
        Share of the catalogue's individuals.
    flanks : tuple of str
        Sides that can be photographed, each with pigment and scars of its own.
    notches, scars : float
        Mean number an individual has.
    zoom : float
        How closely it is photographed: width of its frame in photo widths, on average.
    """

    name: str
    short: str
    share: float
    flanks: tuple[str, ...]
    notches: float
    scars: float
    zoom: float


SIDES = ("left", "right")
SPECIES = (
    Species("bottlenose_dolphin", "dolphin", 0.3, SIDES, 3.2, 7.0, 1.2),
    Species("killer_whale", "orca", 0.22, SIDES, 1.8, 4.0, 1.08),
    Species("humpback_whale", "humpback", 0.2, ("fluke",), 2.4, 6.0, 1.06),
    Species("fin_whale", "finwhale", 0.14, SIDES, 1.3, 5.0, 1.25),
    Species("gray_whale", "graywhale", 0.14, SIDES, 0.0, 5.0, 1.4),
)


@dataclass(frozen=True)
class Shape:
    """Build of an individual in standard deviations from its species, each in [-2, 2]."""

    height: float
    width: float
    lean: float
    bulge: float
    hollow: float
    arch: float


@dataclass(frozen=True)
class Notch:
    """A piece missing from the trailing edge: where along it (0 to 1), how deep and how wide (1 = photo width)."""

    place: float
    depth: float
    width: float


@dataclass(frozen=True)
class Scar:
    """A scratch or tooth rake.

    Attributes
    ----------
    x, y : float
        Its middle, 0 to 1 across the animal and down it.
    angle : float
        Radians.
    length, bend, width : float
        1 = photo width; a bend of 0 is straight.
    lines : int
        Lines side by side.
    strength : float
        0 (faint) to 1.
    pale : bool
        Or else dark.
    """

    x: float
    y: float
    angle: float
    length: float
    bend: float
    width: float
    lines: int
    strength: float
    pale: bool


@dataclass(frozen=True)
class Flank:
    """One side of an animal: its scars, and the seed and strength in [0, 1] of its pigment."""

    scars: tuple[Scar, ...]
    pigment_seed: int
    pigment: float


@dataclass(frozen=True)
class Individual:
    """Everything permanent about one animal; no photo changes it."""

    species: Species
    shape: Shape
    tone: float
    ragged_seed: int
    notches: tuple[Notch, ...]
    flanks: tuple[Flank, ...]


def draw_individual(species: Species, rng: np.random.Generator) -> Individual:
    """Draw an animal of a species."""
    shape = Shape(*(float(z) for z in np.clip(rng.standard_normal(6), -2, 2)))
    # both sides of an animal are about as pale, but never the same
    pigment = rng.random()
    return Individual(
        species=species,
        shape=shape,
        tone=float(np.clip(rng.standard_normal(), -2, 2)),
        ragged_seed=int(rng.integers(2**31)),
        notches=tuple(_notch(rng) for _ in range(min(6, rng.poisson(species.notches)))),
        flanks=tuple(_flank(species, pigment, rng) for _ in species.flanks),
    )


def _notch(rng: np.random.Generator) -> Notch:
    return Notch(
        place=float(rng.uniform(0.08, 0.85)),
        depth=float(rng.uniform(0.01, 0.042)),
        width=float(rng.uniform(0.014, 0.05)),
    )


def _flank(species: Species, pigment: float, rng: np.random.Generator) -> Flank:
    scars = tuple(
        Scar(
            x=float(rng.uniform(0.05, 0.95)),
            y=float(rng.uniform(0.05, 0.95)),
            angle=float(rng.uniform(-np.pi / 2, np.pi / 2)),
            length=float(rng.uniform(0.04, 0.2)),
            bend=float(rng.normal(0, 0.25)),
            width=float(rng.uniform(0.002, 0.007)),
            lines=int(rng.choice([1, 1, 2, 4])),
            strength=float(rng.uniform(0.4, 0.95)),
            pale=bool(rng.random() < 0.75),
        )
        for _ in range(min(14, rng.poisson(species.scars)))
    )
    seed = int(rng.integers(2**31))
    return Flank(scars, seed, float(np.clip(pigment + 0.12 * rng.standard_normal(), 0, 1)))
