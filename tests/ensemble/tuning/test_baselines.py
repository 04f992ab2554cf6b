"""What blends are measured against: the grid, point by point."""

from __future__ import annotations

from pathlib import Path

from planted import add
from small import Small

from cv import Mix
from ensemble import Blend, Project, init
from ensemble.protocol.setup import read_setup
from ensemble.tuning.baselines import GRID, tuned_baselines

NAMES = ["m0", "m1"]


def test_the_tuned_baselines_are_the_best_of_every_point_of_the_grid(tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(NAMES):
        add(tmp_path / "P", small, name, seed + 1, noise=3.0)
    setup = read_setup(Project.open(tmp_path / "P"), Mix(0.15))
    singles = [{other: float(other == name) for other in NAMES} for name in NAMES]

    def best(weightings: list[dict[str, float]]) -> Blend:
        scored = [
            setup.evaluation_set.decided(
                Blend(weights, dict(setup.whitening), species_penalty=root**3, background=background)
            )
            for weights in weightings
            for background, root in GRID
        ]
        return max(scored, key=lambda pair: pair[1].map5)[0]

    assert tuned_baselines(setup) == (best(singles), best([dict.fromkeys(NAMES, 0.5)]))
