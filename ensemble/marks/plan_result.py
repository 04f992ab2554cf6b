"""What `match --sample` returns: a plan instead of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class PlannedStep(Result):
    """One step of a matching.

    Attributes
    ----------
    step : str
    work : float
        How much there is to do, in units.
    rate : float
        Units a second, as measured on the sample.
    unit : str
    seconds : float
        work / rate.
    """

    step: str
    work: float
    rate: float
    unit: str
    seconds: float

    @classmethod
    def of(cls, step: str, work: float, rate: float, unit: str) -> PlannedStep:
        """With its seconds."""
        return cls(step=step, work=work, rate=rate, unit=unit, seconds=work / rate if work else 0.0)


@dataclass(frozen=True, kw_only=True)
class PlannedGallery(Result):
    """The photos among which the marks of one species are looked for.

    Attributes
    ----------
    species : str
    photos, queries : int
    descriptors : int
    exact : bool
        Whether every descriptor is compared; otherwise an inverted index is asked.
    memory : int
        Bytes of its descriptors: float32, or 8 bits each and 8 bytes of place beside them in the index.
    peak : int
        Bytes while it is made: an index learns its cells from float32 descriptors.
    """

    species: str
    photos: int
    queries: int
    descriptors: int
    exact: bool
    memory: int
    peak: int


@dataclass(frozen=True, kw_only=True)
class MatchPlan(Result):
    """What matching a whole catalogue would take, extrapolated from a sample.

    Attributes
    ----------
    sample : int
        Photos that were measured.
    photos : mapping of split to int
    keypoints : float
        A photo, in the mean of the sample.
    steps : list of PlannedStep
    galleries : list of PlannedGallery
        By falling number of descriptors.
    disk : mapping of str to int
        Bytes of the features and, at most, of the pairs.
    workers : int
        Processes and threads.
    seconds : float
        Of all steps.
    warnings : list of str
    """

    sample: int
    photos: Mapping[str, int]
    keypoints: float
    steps: list[PlannedStep]
    galleries: list[PlannedGallery]
    disk: Mapping[str, int]
    workers: int
    seconds: float
    warnings: list[str]

    @property
    def hours(self) -> float:
        """Of all steps, on this machine."""
        return self.seconds / 3600
