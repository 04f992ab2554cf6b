"""What the tests of the report's figures look at: a tuned project beside what the commands tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from small import Small

import ensemble
from ensemble.report.charts.charts import Lines
from ensemble.report.page.pieces import Section
from ensemble.report.state import State

P = TypeVar("P")


@dataclass
class Scene:
    """A tuned project, its sections, and what the commands tell of it."""

    project: Path
    tuned: dict[str, Any]
    scored: dict[str, Any]
    decided: dict[str, Any]
    state: State
    sections: dict[str, Section]

    def of(self, key: str, kind: type[P], title: str = "") -> P:
        """The only piece of a kind in a section, or that whose title or caption begins so."""
        found = [piece for piece in self.sections[key].body if isinstance(piece, kind)]
        if title:
            found = [p for p in found if str(getattr(p, "title", getattr(p, "caption", ""))).startswith(title)]
        assert len(found) == 1, [getattr(p, "title", getattr(p, "caption", p)) for p in self.sections[key].body]
        return found[0]

    def holding(self, key: str, x: str) -> Lines:
        """The chart whose x axis begins so and whose y axis is a score."""
        return next(p for p in self.sections[key].body if isinstance(p, Lines) and p.x.startswith(x) and "MAP@5" in p.y)


def small_project(folder: Path) -> Path:
    """Two weak networks of the small catalogue."""
    small = Small(folder / "data")
    ensemble.init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed in (1, 2):
        train, test = small.noisy(seed, 2.0)
        given = {"train": (small.train_images, train), "test": (small.test_images, test)}
        ensemble.register(folder / "P", f"m{seed}", frozen=True, **given)
    return folder / "P"
