"""What several sections need, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backbones.store import Store
from ensemble.blend import Blend
from ensemble.project import Project

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class State:
    """A project at some stage.

    Attributes
    ----------
    project : Project
    images : Path or None
        The folder of the photos, where they are to be shown.
    progress : callable or None
        Called with (what, done, total).
    """

    project: Project
    images: Path | None = None
    progress: Progress | None = None

    @cached_property
    def stores(self) -> dict[str, dict[str, Store]]:
        """Every registered store; none right after `init`."""
        return self.project.stores()

    @cached_property
    def blend(self) -> Blend | None:
        """The tuned blend, where `tune` has run."""
        return Blend.load(self.project.blend_path) if self.project.blend_path.is_file() else None
