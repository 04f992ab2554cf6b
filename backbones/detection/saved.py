"""The folder of a detector: `network.safetensors`, and `detector.json` with all that must be known to use it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cv.errors import FinblendError, shown
from cv.files import read_json, refuse_no_folder, sha256_of, write_json

NETWORK_FILE, FACTS_FILE = "network.safetensors", "detector.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class DetectorFacts:
    """What a detector is.

    Attributes
    ----------
    network : str
        Of timm.
    classes : list of str
    height, width : int
        Of its frame.
    mean, std : list of float
        Its input is (rgb / 255 - mean) / std.
    sha256 : str
        Of `network.safetensors`.
    min_score : float
        Score from which on a box was used when it was measured.
    epoch : int
        The one that was kept.
    measured : dict of str to float
        On held-out photos: `map50`, `mean_iou`, `recall`, perhaps `false_alarms`.
    photos, held_out, boxes : int
        Photos that it was trained on and that it was measured on, and all their boxes.
    finblend : str
        Version.
    format : int
    """

    network: str
    classes: list[str]
    height: int
    width: int
    mean: list[float]
    std: list[float]
    sha256: str
    min_score: float
    epoch: int
    measured: dict[str, float]
    photos: int
    held_out: int
    boxes: int
    finblend: str
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise FinblendError(f"format {self.format} is not known here; this finblend reads format {FORMAT}")
        if not self.classes or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise FinblendError("needs classes, and a mean and a std > 0 of three colours")

    def class_number(self, name: str) -> int:
        """Its number; a name that is none of its classes is refused."""
        if name not in self.classes:
            raise FinblendError(f"--class {name}: the detector knows {shown(self.classes)}")
        return self.classes.index(name)

    def write(self, folder: Path) -> None:
        """Write `detector.json`."""
        write_json(folder / FACTS_FILE, asdict(self))


def read_facts(folder: Path) -> DetectorFacts:
    """Read `detector.json`; a folder that is no finished detector is refused."""
    refuse_no_folder(folder, "a folder of finblend detect train")
    path = folder / FACTS_FILE
    if not path.is_file() or not (folder / NETWORK_FILE).is_file():
        raise FinblendError(f"{folder}: is no finished detector (it needs {FACTS_FILE} and {NETWORK_FILE})")
    value = read_json(path)
    wanted: dict[str, Any] = {each.name: each.type for each in fields(DetectorFacts)}
    try:
        if not isinstance(value, dict) or value.keys() != wanted.keys():
            raise FinblendError(f"needs {', '.join(wanted)} and nothing else")
        for name, kind in wanted.items():
            if type(value[name]).__name__ != kind.partition("[")[0] and not (kind == "float" and value[name] == 0):
                raise FinblendError(f"{name} must be {kind}, but is {shown([value[name]])}")
        return DetectorFacts(**value)
    except FinblendError as error:
        raise FinblendError(f"{path}: {error}") from None


def refuse_other_network(folder: Path, facts: DetectorFacts) -> None:
    """Refuse a network that is not the one that `detector.json` tells of."""
    if sha256_of(folder / NETWORK_FILE) != facts.sha256:
        raise FinblendError(f"{folder / NETWORK_FILE}: is not the network that {FACTS_FILE} tells of")
