"""A project with photos in which two individuals look the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from small import Small

from ensemble import Project, init, register, tune
from ensemble.report.page.pieces import Section
from ensemble.report.sections.mistakes import section
from ensemble.report.state import State

EVIL = "<script>alert(1)</script>"


class Scene(Small):
    """id00 and id02, of six photos and more each, look the same; id04 has a name that is HTML."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        who = np.array(self.individuals)
        rng = np.random.default_rng(5)
        common = self.train[who == "id00"].mean(axis=0)
        for name in ("id00", "id02"):
            self.train[who == name] = common + 0.3 * rng.standard_normal((int((who == name).sum()), 16))
        self.individuals = [EVIL if name == "id04" else name for name in self.individuals]
        names = {"image": self.train_images, "species": self.species, "individual_id": self.individuals}
        pl.DataFrame(names).write_csv(self.train_csv)
        self.photos = folder / "photos"
        self.photos.mkdir()
        for image in self.train_images + self.test_images:
            pixels = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((600, 450)).save(self.photos / image, quality=95)
        self.project = folder / "P"
        init(self.project, train=self.train_csv, test=self.sample_csv)
        for seed in (1, 2):
            path = self.write_npz(f"m{seed}.npz", *self.noisy(seed))
            register(self.project, f"m{seed}", frozen=True, train=path, test=path)
        tune(self.project, trials=0, nested_trials=0, new_share=0.15)

    def section(self, images: tuple[Path, ...] = (), precision: float = 0.99) -> Section:
        found = section(State(Project.open(self.project), images, precision=precision))
        assert found is not None
        return found
