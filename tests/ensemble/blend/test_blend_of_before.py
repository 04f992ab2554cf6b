"""Files of before: operators are gone; a blend that names none is what it was, one that names some is tuned anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from studies import trial_points

from cv import FinblendError
from ensemble import Blend, Project, tune
from ensemble.cli import main

NONE: dict[str, Any] = {"operators": {}}
SOME: dict[str, Any] = {
    "operators": {
        "frozen": {"reciprocal": {"k1": 20, "k2": 6, "lambda": 0.3}},
        "trained": {"query-expansion": {"k": 2, "alpha": 3.0}, "reciprocal": {"k1": 10, "k2": 3, "lambda": 0.6}},
    }
}
LINE = "was tuned with operators (query-expansion, reciprocal), which finblend no longer has; run 'finblend tune' again"


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """A file as tune wrote it: its seal is of all that stands in it."""
    value = {key: inner for key, inner in value.items() if key != "seal"}
    seal = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**value, "seal": seal}))


def of_before(path: Path, operators: dict[str, Any], tried: list[str]) -> dict[str, Any]:
    """Make the project's blend one of a finblend that had operators."""
    value = json.loads(path.read_text())
    assert "operators" not in value
    assert "operators_tried" not in value["measured"]
    before = {**value, **operators, "measured": {**value["measured"], "operators_tried": tried}}
    write_sealed(path, before)
    return before


def test_a_blend_of_before_without_operators_is_unchanged(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Project.open(project).blend_path
    now = Blend.load(path)
    before = of_before(path, NONE, [])
    blend = Blend.load(path)
    assert (blend.by_hand, blend.measured) == (False, before["measured"])
    assert {**blend.as_dict(), "measured": None} == {**now.as_dict(), "measured": None}
    assert main(["evaluate", str(project)]) == 0
    assert "is not as 'finblend tune' wrote it" not in capsys.readouterr().err
    # a change by hand is still seen
    path.write_text(path.read_text().replace('"operators": {}', '"operators": {"frozen": {}}'))
    assert Blend.load(path).by_hand


def test_a_blend_with_operators_answers_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Project.open(project).blend_path
    of_before(path, SOME, ["query-expansion", "reciprocal"])
    out = tmp_path / "out.csv"
    for words in (["evaluate"], ["submit", "-o", out], ["decide", "-o", out], ["export", "-o", tmp_path / "vectors"]):
        assert main([words[0], str(project), *map(str, words[1:])]) == 1
        assert f"{path}: {LINE}" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    page = tmp_path / "report.html"
    assert main(["report", str(project), "-o", str(page)]) == 0
    assert "which finblend no longer has" in page.read_text()


def test_tuning_starts_from_a_blend_with_operators_and_keeps_its_share(project: Path) -> None:
    path = Project.open(project).blend_path
    started = {"weights": {"frozen": 0.84, "trained": 0.16}, "species_weights": {}, "top_photos": 2}
    path.write_text(json.dumps({**json.loads(path.read_text()), **started}))
    of_before(path, SOME, ["query-expansion", "reciprocal"])
    # operators were another study, and this project may have none yet without
    (project / "study.journal").unlink()
    report = tune(project, trials=0, nested_trials=0)
    assert report.mix["new_share"] == 0.15
    starts = [point for point in trial_points(project) if point["top_photos"] == 2]
    assert [round(point["factor:trained"] ** 2, 6) for point in starts] == [round(0.16 / 0.84, 6)]
    assert "operators" not in report.as_dict()
    kept = json.loads(path.read_text())
    assert "operators" not in kept
    assert "operators_tried" not in kept["measured"]
    assert not Blend.load(path).by_hand


@pytest.mark.parametrize("operators", [None, ["a"], 3, {"a": 3}, {"a": None}])
def test_what_is_no_mapping_of_operators_is_no_blend(tmp_path: Path, operators: Any) -> None:
    (tmp_path / "blend.json").write_text(json.dumps({"weights": {"a": 1.0}, "operators": operators}))
    for as_start in (False, True):
        with pytest.raises(FinblendError, match=r"blend\.json: is not a blend .operators must be a mapping .*, but"):
            Blend.load(tmp_path / "blend.json", as_start=as_start)


def test_operators_cannot_be_asked_for(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(project), "--operators", "reciprocal"]) == 1
    assert "--operators" in capsys.readouterr().err
