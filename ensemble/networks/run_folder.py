"""The folder of a training run: what decides the run stands in it, and a run goes on only with the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.files import folder_written_beside, read_json, write_json

RUN_FILE = "run.json"
REPLACING = "replacing"
_ABSENT = object()


@dataclass(frozen=True)
class RunFolder:
    """One network's run.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def network_file(self) -> Path:
        """There when training is finished."""
        from backbones.weights.saved import NETWORK_FILE

        return self.path / NETWORK_FILE

    @property
    def finished(self) -> bool:
        """Whether training is finished."""
        return self.network_file.is_file()

    @property
    def replaces(self) -> bool:
        """Whether the run was started with --replace, and its store is not the new one yet.

        Such a run goes on without --replace when it was killed.
        """
        return (self.path / REPLACING).is_file()

    def replaced(self) -> None:
        """The new store is in place."""
        (self.path / REPLACING).unlink(missing_ok=True)

    def begin(self, facts: dict[str, Any], replace: bool) -> None:
        """Make the folder anew.

        Parameters
        ----------
        facts : dict
            `what` decides the result, `machine` what it is computed on; JSON values.
        replace : bool
        """
        if self.path.exists():
            # aside first: a folder half removed would pass for another run
            aside = Path(tempfile.mkdtemp(prefix=".old-", dir=self.path.parent))
            self.path.replace(aside / "run")
            shutil.rmtree(aside)
        with folder_written_beside(self.path) as temporary:
            write_json(temporary / RUN_FILE, facts)
            if replace:
                (temporary / REPLACING).touch()

    def refuse_other(self, facts: dict[str, Any]) -> None:
        """Refuse to go on with a run that differs; one in which nothing was trained is begun anew."""
        file = self.path / RUN_FILE
        begun_with = read_json(file) if file.is_file() else None
        if not isinstance(begun_with, dict):
            raise FinblendError(f"{self.path}: is no folder of a training run ({RUN_FILE} is lost); use --replace")
        # what a finished network ran on no longer matters
        parts = ("what",) if self.finished else ("what", "machine")
        before, now = (_leaves({part: each.get(part) for part in parts}) for each in (begun_with, facts))
        differing = [name for name in {**now, **before} if before.get(name, _ABSENT) != now.get(name, _ABSENT)]
        if not differing:
            return
        if self.finished or any(self.path.glob("checkpoints/*.ckpt")):
            name = differing[0].partition(".")[2].removeprefix("recipe.")
            raise FinblendError(
                f"{self.path}: a run with another {name} is there "
                f"({before.get(differing[0])}, not {now.get(differing[0])}); use --replace"
            )
        self.begin(facts, self.replaces)


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Values by their dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    prefix = f"{name}." if name else ""
    return {leaf: fact for key, inner in value.items() for leaf, fact in _leaves(inner, prefix + key).items()}
