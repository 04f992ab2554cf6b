"""What `embed` and `train` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class ExtractionResult(Result):
    """How every photo was embedded and registered.

    Attributes
    ----------
    model : str
    seen : str
        `frozen`, `fold-K` or `full`.
    views : mapping of view to width
    train_images, test_images : int
    problems : mapping of photo to what is wrong with it
    stand_ins : list of str
        Photos that could not be read: a direction that resembles nobody stands for each.
    boxes_too_small, photos_without_box : int
        Photos that are shown whole.
    device, precision : str
    agreement : float or None
        Cosine of bfloat16 with float32, where it was measured.
    computed : int
        Photos that this call embedded; an earlier one, which was killed, embedded the others.
    seconds, photos_per_second : float
    """

    model: str
    seen: str
    views: Mapping[str, int]
    train_images: int
    test_images: int
    problems: Mapping[str, str]
    stand_ins: list[str]
    boxes_too_small: int
    photos_without_box: int
    device: str
    precision: str
    agreement: float | None
    computed: int
    seconds: float
    photos_per_second: float


@dataclass(frozen=True, kw_only=True)
class EmbedResult(ExtractionResult):
    """What `embed` did.

    Attributes
    ----------
    warnings : list of str
    """

    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class FoldResult(Result):
    """One trained network.

    Attributes
    ----------
    seen : str
        `fold-K` or `full`.
    folder : str
        Of the run.
    photos, classes, pseudo : int
        Photos it was trained on, their individuals, and how many of the photos carry pseudo-labels.
    curve : list of mapping
        One row an epoch.
    """

    seen: str
    folder: str
    photos: int
    classes: int
    pseudo: int
    curve: list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class FinishedBefore(FoldResult):
    """A network that an earlier call had trained and registered."""

    registered: str = "before"


@dataclass(frozen=True, kw_only=True)
class RegisteredNow(ExtractionResult, FoldResult):
    """A network that this call registered: the facts of its training, then those of its extraction."""

    registered: str = "now"


@dataclass(frozen=True, kw_only=True)
class TrainResult(Result):
    """What `train` did.

    Attributes
    ----------
    model : str
    runs : list of FinishedBefore or RegisteredNow
        One a network.
    warnings : list of str
    """

    model: str
    runs: list[FinishedBefore | RegisteredNow]
    warnings: list[str]
