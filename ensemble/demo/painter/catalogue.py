"""A painted catalogue: who is photographed how often, on which encounters, and the tables a user would bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.files import folder_written_beside
from ensemble.demo.painter.individuals import SPECIES, Individual, draw_individual
from ensemble.demo.painter.photo import SKIN_SCALE, Taken, draw_pose, take_photo
from ensemble.demo.painter.scene import draw_weather
from ensemble.demo.painter.schedule import plan
from ensemble.demo.painter.skin import paint_skin

MIN_INDIVIDUALS = 20
MIN_SIZE = 64
# one stream of random numbers a kind, so that no photo depends on another one; the schedule has 0
_INDIVIDUAL, _WEATHER, _PHOTO = range(1, 4)


@dataclass(frozen=True)
class Painted:
    """A painted catalogue.

    Attributes
    ----------
    folder : Path
        Holds `photos/`, `train.csv`, `sample_submission.csv`, `answers.csv` and `boxes.csv`: around each animal.
    train : polars.DataFrame
        `image, species, individual_id, encounter`.
    test : polars.DataFrame
        `image, answer`: an individual_id, or new_individual for a stranger.
    details : polars.DataFrame
        `image, split, species, individual, flank, encounter` of every photo; strangers have names of their own.
    """

    folder: Path
    train: pl.DataFrame
    test: pl.DataFrame
    details: pl.DataFrame

    def photo(self, image: str) -> Path:
        """Path of a photo."""
        return self.folder / "photos" / image


def paint_catalogue(
    folder: Path,
    *,
    individuals: int = 120,
    seed: int = 0,
    size: int = 320,
    distance: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Painted:
    """Paint a photo-ID catalogue with known answers.

    Parameters
    ----------
    folder : Path
        Must not exist.
    individuals : int
        Known ones, >= 20; with 120 there are about 950 photos.
    seed : int
        The same seed gives the same bytes.
    size : int
        Width of a photo in pixels, >= 64; it is three quarters as high.
    distance : float
        How many times farther away the animals are than they are by default, where they fill the photo, 1 to 4.
    progress : callable or None
        Gets the photos painted so far and all there will be, after each photo.

    Returns
    -------
    Painted

    Raises
    ------
    FinblendError
        If a value is out of its range or the folder exists.
    """
    for name, value, least in (
        ("individuals", individuals, MIN_INDIVIDUALS),
        ("size", size, MIN_SIZE),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise FinblendError(f"{name} must be a whole number >= {least}, but got {name}={value!r}")
    if not 1 <= distance <= 4:
        raise FinblendError(f"1 <= distance <= 4 must hold, but got distance={distance}")
    folder = Path(folder)
    if folder.exists():
        raise FinblendError(f"{folder}: already exists; choose another folder or remove it")
    details = plan(individuals, seed)
    with folder_written_beside(folder) as temporary:
        (temporary / "photos").mkdir()
        # one animal after another, so that its skin is painted once
        order = details.with_row_index().sort("number", "flank", "index")
        boxes: dict[str, str] = {}
        for done, row in enumerate(order.iter_rows(named=True), start=1):
            facts = (row["number"], row["species"], row["flank"], row["encounter"], row["index"])
            taken = _photo(seed, *facts, size, distance)
            (temporary / "photos" / row["image"]).write_bytes(taken.file)
            boxes[row["image"]] = f"[[{' '.join(map(str, taken.box))}]]"
            if progress is not None:
                progress(done, details.height)
        train, test = _tables(details)
        train.write_csv(temporary / "train.csv")
        test.write_csv(temporary / "answers.csv")
        details.select("image", bbox=pl.col("image").replace_strict(boxes)).write_csv(temporary / "boxes.csv")
        test.select("image", predictions=pl.lit(NEW_INDIVIDUAL)).write_csv(temporary / "sample_submission.csv")
    return Painted(folder, train, test, details.drop("number"))


@lru_cache(maxsize=2)
def _animal(seed: int, number: int, species: str) -> Individual:
    kind = next(kind for kind in SPECIES if kind.name == species)
    return draw_individual(kind, np.random.default_rng([seed, _INDIVIDUAL, number]))


@lru_cache(maxsize=2)
def _skin(seed: int, number: int, species: str, flank: int, size: int) -> Image.Image:
    return paint_skin(_animal(seed, number, species), flank, round(size * SKIN_SCALE))


def _photo(
    seed: int, number: int, species: str, flank: str, encounter: str, index: int, size: int, distance: float
) -> Taken:
    """One photo, drawn from nothing but these."""
    animal = _animal(seed, number, species)
    side = animal.species.flanks.index(flank)
    weather = draw_weather(np.random.default_rng([seed, _WEATHER, int(encounter[1:])]))
    rng = np.random.default_rng([seed, _PHOTO, index])
    pose = draw_pose(animal.species.zoom, side == 1, rng, distance)
    return take_photo(_skin(seed, number, species, side, round(size / distance)), pose, weather, size, rng)


def _tables(details: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Painted's train and test."""
    train = details.filter(split="train")
    train = train.select("image", "species", individual_id="individual", encounter="encounter")
    known = train["individual_id"].unique().to_list()
    answer = pl.when(pl.col("individual").is_in(known)).then("individual").otherwise(pl.lit(NEW_INDIVIDUAL))
    return train, details.filter(split="test").select("image", answer=answer)
