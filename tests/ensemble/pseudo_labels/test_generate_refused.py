"""Pseudo-labels that cannot be had: the wish is named, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from planted import add
from small import Small

from cv import FinblendError
from ensemble import init, pseudo, tune


@pytest.fixture(scope="module")
def project(tuned_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned project of one frozen and one trained model."""
    return Path(shutil.copytree(tuned_template, tmp_path_factory.mktemp("refused") / "P"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": 1.0}, "0 < precision < 1 must hold, but got precision=1.0"),
        ({"min_prob": 0.0}, "0 < min_prob <= 1 must hold, but got min_prob=0.0"),
        ({"rule": "luck"}, "--rule must be one of confidence, agreement, gap, but got luck"),
        ({"trials": -1}, "--trials >= 0 must hold, but got trials=-1"),
        ({"precision": 0.9999, "trials": 0}, "no threshold of the rule confidence shows it out-of-fold"),
        ({"min_prob": 1.0, "trials": 0}, "no test photo reaches the threshold 1.0000 of the set for fold-0"),
    ],
)
def test_impossible_wishes_are_refused(project: Path, tmp_path: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        pseudo(project, tmp_path / "p.csv", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_two_folds_are_too_few(tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, folds=2)
    add(tmp_path / "P", small, "m", 1)
    tune(tmp_path / "P", trials=0, new_share=0.15, nested_trials=0)
    with pytest.raises(FinblendError, match="at least 3 folds"):
        pseudo(tmp_path / "P", tmp_path / "p.csv")
