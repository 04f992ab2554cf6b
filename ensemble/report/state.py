"""What several sections need, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backbones.store import Store
from ensemble.blend import Blend
from ensemble.desk import Desk, desk_of
from ensemble.naming import Named, Namer, namer_of
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

    @cached_property
    def desk(self) -> Desk:
        """The tuned blend's desk: its evidence out-of-fold, in its mix."""
        assert self.blend is not None  # noqa: S101 - sections ask for the blend first
        return desk_of(self.project, self.blend, self.progress)

    @cached_property
    def namer(self) -> Namer:
        """What names photos with probabilities."""
        assert self.blend is not None  # noqa: S101
        return namer_of(self.desk.exam, self.blend, self.progress)

    @cached_property
    def named(self) -> Named:
        """Who the out-of-fold photos may be, each by what was fitted on the other folds."""
        return self.namer.out_of_fold()
