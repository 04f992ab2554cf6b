"""The catalogue's portrait against counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest

from ensemble import Project, init
from ensemble.report.charts.charts import Bars, Lines
from ensemble.report.page.pieces import Figures, Section, Table, Text, Warnings
from ensemble.report.sections.catalogue import section
from ensemble.report.sections.catalogue_counts import CatalogueCounts
from ensemble.report.state import State

T = TypeVar("T")
# whose photos, of which species, in which fold, of which sighting
ROWS = [
    ("ann", "orca", 0, "s1"),
    ("ann", "orca", 1, "s1"),
    ("ann", "orca", 1, "s2"),
    ("bob", "orca", 0, "s3"),
    ("bob", "orca", 0, "s4"),
    ("cat", "sei whale", 1, None),
    ("dan", "sei_whale", 0, "s5"),
    ("dan", "orca", 1, "s6"),
    ("eve", "kiler_whale", 0, "s7"),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    people, species, folds, seen = zip(*ROWS, strict=True)
    images = [f"{n}.jpg" for n in range(len(ROWS))]
    table = {"image": images, "individual_id": people, "species": species, "fold": folds, "sighting": seen}
    frame = pl.DataFrame(table).with_columns(depth=pl.Series([1.5, None, float("nan"), *[2.0] * 6]))
    frame.write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": ["t1.jpg", "t2.jpg"], "species": ["orca", "orca"]}).write_csv(tmp_path / "test.csv")
    train = tmp_path / "train.csv"
    init(tmp_path / "P", train=train, test=tmp_path / "test.csv", folds=f"{train}:fold", encounters="sighting")
    return Project.open(tmp_path / "P")


def of_kind(found: Section, kind: type[T]) -> list[T]:
    return [piece for piece in found.body if isinstance(piece, kind)]


def table(found: Section, caption: str) -> Table:
    return next(piece for piece in of_kind(found, Table) if piece.caption == caption)


def test_counts_are_those_by_hand(project: Project) -> None:
    found = section(State(project))
    figures = dict(of_kind(found, Figures)[0].pairs)
    assert figures["train photos"] == "9"
    assert figures["individuals"] == "5"
    assert figures["individuals with one photo"] == "40.0 %"
    # bob's two photos are in one fold; cat and eve have one each
    assert figures["strangers out-of-fold"] == "44.4 %"
    assert figures["encounters"] == "7"
    species = {row[0]: row[1:] for row in table(found, "Species").rows}
    # photos, share, individuals, with one photo, most, strangers, their share, in test
    assert species["orca"] == [6, 6 / 9, 3, 0, 3, 2, 2 / 6, 2]
    assert species["sei whale"] == [1, 1 / 9, 1, 1, 1, 1, 1.0, 0]
    assert species["killer_whale"][:2] == [1, 1 / 9]
    folds = table(found, "Folds").rows
    # photos, individuals, strangers, their share, species, species absent
    assert folds[0] == [0, 5, 4, 3, 3 / 5, 3, 1]
    assert folds[1] == [1, 4, 3, 1, 1 / 4, 2, 2]
    assert table(found, "The most photographed individuals").rows[0] == ["ann", "orca", 3]
    assert table(found, "Repaired species names").rows == [["kiler_whale", "killer_whale", 1]]
    assert table(found, "Encounters in several folds").rows == [["s1", 2, 1, 2]]
    columns = {row[0]: row[2:5] for row in table(found, "Columns of the catalogue, and what is missing").rows}
    assert columns["depth"] == [2, 2, 2]
    assert columns["encounter"] == [1, 2, 7]
    assert columns["individual_id"] == [0, 2, 5]


def test_odd_values_are_named(project: Project) -> None:
    found = section(State(project))
    odd = {(row[0], row[1], row[2]) for row in table(found, "Odd values").rows}
    assert ("an individual of several species", "dan", "orca, sei_whale") in odd
    assert ("species with names alike", "sei whale", "sei_whale") in odd
    assert ("a species with one photo", "killer_whale", "") in odd
    assert not any("orca" in name for what, name, _ in odd if what == "species with names alike")
    warned = of_kind(found, Warnings)[0].lines
    assert any(line.startswith("1 encounters have photos in several folds") for line in warned)
    assert any(line.startswith("1 photos have no encounter") for line in warned)
    assert any("1 encounters straddle folds" in piece.text for piece in of_kind(found, Text))


def test_charts_say_what_they_show(project: Project) -> None:
    bars, lines = of_kind(section(State(project)), Bars), of_kind(section(State(project)), Lines)
    species, folds, mix, encounters = bars
    assert species.title == "1 of 4 species make up half of the photos; orca alone 66.7 %"
    assert dict(zip(species.labels, species.values, strict=True))["orca"] == 6
    assert species.stacked is not None
    assert [sum(part) for part in zip(*species.stacked.values(), strict=True)] == species.values
    assert folds.values == [5.0, 4.0]
    assert "orca 6" in species.alt
    assert mix.stacked is not None
    assert [pytest.approx(100.0)] * 2 == [sum(part) for part in zip(*mix.stacked.values(), strict=True)]
    assert encounters.values == [6.0, 1.0]
    # at least 1, 2, 3 photos
    assert (lines[0].series[0].x, lines[0].series[0].y) == ([1.0, 2.0, 3.0], [5.0, 3.0, 1.0])
    assert lines[0].title == "40.0 % of the individuals have one photo; the most photographed has 3"


def test_many_species_and_columns_are_summed_up_and_said_so(tmp_path: Path) -> None:
    n = 80
    rows: dict[str, Any] = {"image": [f"{k}.jpg" for k in range(2 * n)]}
    rows |= {"individual_id": [f"i{k // 2}" for k in range(2 * n)], "species": [f"s{k // 2:02d}" for k in range(2 * n)]}
    rows |= {f"column {k}": [k] * (2 * n) for k in range(60)}
    pl.DataFrame(rows).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": ["t.jpg"]}).write_csv(tmp_path / "test.csv")
    init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "test.csv")
    found = section(State(Project.open(tmp_path / "P")))
    assert max(len(piece.rows) for piece in of_kind(found, Table)) == 50
    assert "30 with the fewest photos are left out" in table(found, "Species").note
    assert "more columns are left out" in table(found, "Columns of the catalogue, and what is missing").note
    species = of_kind(found, Bars)[0]
    assert len(species.labels) == 25
    assert species.labels[-1] == "56 more species"
    assert sum(species.values) == 2 * n


def test_a_catalogue_without_species_has_no_chart_of_them(tmp_path: Path) -> None:
    pl.DataFrame({"image": list("abcd"), "individual_id": list("xxyz")}).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": ["t"]}).write_csv(tmp_path / "test.csv")
    init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "test.csv", folds=2)
    project = Project.open(tmp_path / "P")
    assert len(of_kind(section(State(project)), Bars)) == 1
    assert CatalogueCounts(project).encounters.height == 0
