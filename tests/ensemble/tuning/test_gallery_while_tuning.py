"""A gallery that changes while `tune` runs: the blend says which one it was tuned with, and is refused for another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import sets_by_hand

import ensemble.tuning.tune
from cv import FinblendError
from ensemble import Blend, Project, merge, submit, tune
from ensemble.project.pseudo_rounds import gallery_of


def while_calling(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> list[object]:
    """Do something between two steps of `tune`, once the set-up is read; what it gave is in the list."""
    real, done = getattr(ensemble.tuning.tune, name), list[object]()

    def stand_in(*given: Any, **named: Any) -> Any:
        if not done:
            done.append(act())
        return real(*given, **named)

    monkeypatch.setattr(ensemble.tuning.tune, name, stand_in)
    return done


@pytest.mark.parametrize(
    ("step", "merged_before"), [("starts_of_study", False), ("starts_of_study", True), ("staged_blend", True)]
)
def test_a_merge_while_tune_runs_is_not_stamped_on_the_blend(
    project: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, merged_before: bool
) -> None:
    second = sets_by_hand(project, tmp_path / "q.csv", lambda seen, n: {row: f"id{row:02d}" for row in range(6)})
    if merged_before:
        merge(project, sets, kind="gallery", force=True)
    usual = tune(project, trials=0, new_share=0.15, nested_trials=0)
    expected = Blend.load(project / "blend.json")
    read = gallery_of(Project.open(project)).fingerprint
    assert (read != "") == merged_before
    with monkeypatch.context() as patch:
        done = while_calling(patch, step, lambda: merge(project, second, kind="gallery", force=True))
        report = tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert len(done) == 1
    blend = Blend.load(project / "blend.json")
    assert blend.gallery == read != gallery_of(Project.open(project)).fingerprint
    # and nothing of it got into the numbers
    assert blend == expected
    assert (report["map5"], report["map5_of_answers"]) == (usual["map5"], usual["map5_of_answers"])
    with pytest.raises(FinblendError, match=r"was tuned with another gallery.*run 'finblend tune"):
        submit(project, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert submit(project, tmp_path / "out.csv")["rows"] == 12
