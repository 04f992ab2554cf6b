"""What `compare` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cv.mix import Mix
from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class BlendScores(Result):
    """One of the two blends on all compared photos.

    Attributes
    ----------
    name : str
        What it is called in the comparison.
    folder : Path
        Its project.
    models : list of str
        Those with weight.
    second_stage : bool
    map5 : float
    known, new : float or None
        MAP@5 over photos of known individuals and of strangers, None where there are none.
    interval : list of float
        95 %, by drawing individuals anew.
    measured : str
        How its answers came about.
    nested : dict or None
        `map5, interval, prediction` as its own `tune` found them.
    """

    name: str
    folder: Path
    models: list[str]
    second_stage: bool
    map5: float
    known: float | None
    new: float | None
    interval: list[float]
    measured: str
    nested: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class GroupDifference(Result):
    """Both blends on some of the photos: `share` of the mix, MAP@5 of each, and the difference with its interval.

    Scores are None where the group has no photos, the interval where few individuals could not tell one.
    """

    share: float
    first: float | None
    second: float | None
    difference: float | None
    interval: list[float] | None


@dataclass(frozen=True, kw_only=True)
class SpeciesDifference(Result):
    """`GroupDifference` of a species, with its name and the number of its train photos."""

    species: str
    photos: int
    share: float
    first: float | None
    second: float | None
    difference: float | None
    interval: list[float] | None


@dataclass(frozen=True, kw_only=True)
class PhotoAnswers(Result):
    """What a blend answers to a photo.

    Attributes
    ----------
    place : int or None
        Of the truth, from 1.
    precision : float
    answers : list of str
    photos : list of str or None
        The gallery photo of each answer; None for somebody new.
    """

    place: int | None
    precision: float
    answers: list[str]
    photos: list[str | None]


@dataclass(frozen=True, kw_only=True)
class DifferingPhoto(Result):
    """A photo that moves the score, and what either blend answers to it.

    Attributes
    ----------
    image, truth, individual, species : str
        `truth` is `new_individual` where the individual, whose name is `individual`, is not in the gallery.
    plays_stranger : bool
        Whether the individual is hidden from the gallery that otherwise has it.
    fold : int
    weight : float
        Of all weights, which sum to 1.
    first, second : PhotoAnswers
    """

    image: str
    truth: str
    individual: str
    plays_stranger: bool
    species: str
    fold: int
    weight: float
    first: PhotoAnswers
    second: PhotoAnswers


@dataclass(frozen=True, kw_only=True)
class PhotoDifferences(Result):
    """How many photos were compared, on how many either is better, and those that move the score `most`."""

    compared: int
    second_better: int
    first_better: int
    same: int
    most: list[DifferingPhoto]


@dataclass(frozen=True, kw_only=True)
class PairedDifference(Result):
    """Second minus first on the same photos in the same drawn catalogues.

    Attributes
    ----------
    difference : float
    interval : list of float
        95 %.
    second_better, first_better, equal : float
        Shares of drawn catalogues.
    """

    difference: float
    interval: list[float]
    second_better: float
    first_better: float
    equal: float


@dataclass(frozen=True, kw_only=True)
class NestedDifference(Result):
    """MAP@5 of both, each fold by what was tuned without it; the difference as of `PairedDifference`."""

    first: float
    second: float
    difference: float
    interval: list[float]
    second_better: float
    first_better: float
    equal: float
    measured: str


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(Result):
    """Two blends on the same out-of-fold photos.

    Attributes
    ----------
    first, second : BlendScores
    difference, interval, second_better, first_better, equal
        As of `PairedDifference`.
    known, new : GroupDifference
    species : list of SpeciesDifference
    photos : PhotoDifferences
    nested : NestedDifference or None
    mix : Mix
        The weights of the photos follow it.
    measured : str
    warnings : list of str
    """

    first: BlendScores
    second: BlendScores
    difference: float
    interval: list[float]
    second_better: float
    first_better: float
    equal: float
    known: GroupDifference
    new: GroupDifference
    species: list[SpeciesDifference]
    photos: PhotoDifferences
    nested: NestedDifference | None
    mix: Mix
    measured: str
    warnings: list[str]
