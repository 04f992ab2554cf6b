"""Capture histories worked by hand, and read again from MARK's, secr's and the plain form."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import examples
from histories import read_history
from hypothesis import given
from hypothesis import strategies as st

from cv.errors import FinblendError
from ensemble.exchange.history_files import SUFFIXES, write_history
from ensemble.exchange.occasions import history_of
from ensemble.exchange.records import checked


def seen(**columns: list[Any]) -> pl.DataFrame:
    number = len(next(iter(columns.values())))
    extra = columns.pop("extra", None)
    records = checked(pl.DataFrame({"image": [f"{n}.jpg" for n in range(number)], **columns}), "seen")
    return records if extra is None else records.with_columns(extra=pl.Series(extra, dtype=pl.String))


BY_HAND = seen(
    individual_id=["B", "A", "A", None, "B", "A"],
    date=["2021-01-31", "2021-02-01", "2021-02-20T08:00", "2021-04", "2020-12-24", "2021"],
)


def test_a_history_by_hand(tmp_path: Path) -> None:
    captures = history_of(BY_HAND, "month")
    assert captures.history.individuals == ["A", "B"]
    # nobody was named in April, but there was a photo
    assert captures.history.occasions == ["2020-12", "2021-01", "2021-02", "2021-04"]
    assert captures.history.seen.astype(int).tolist() == [[0, 0, 1, 0], [1, 1, 0, 0]]
    assert (captures.without_name, captures.without_occasion) == (1, 1)
    write_history(captures, tmp_path / "h.inp")
    assert (tmp_path / "h.inp").read_text().splitlines() == [
        "/* occasions: 2020-12 | 2021-01 | 2021-02 | 2021-04 */",
        "/* A */ 0010 1;",
        "/* B */ 1100 1;",
    ]
    write_history(captures, tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "individual,2020-12,2021-01,2021-02,2021-04\nA,0,0,1,0\nB,1,1,0,0\n"
    assert write_history(captures, tmp_path / "h.txt") == [str(tmp_path / "h.txt")]
    assert (tmp_path / "h.txt").read_text().splitlines()[1:] == [
        "# Session ID Occasion Detector",
        "1 A 3 1",
        "1 B 1 1",
        "1 B 2 1",
    ]


@pytest.mark.parametrize(
    ("occasions", "labels"),
    [
        ("year", ["2020", "2021"]),
        ("season", ["2021-1-DJF", "2021-2-MAM"]),
        ("day", ["2020-12-24", "2021-01-31", "2021-02-01", "2021-02-20"]),
    ],
)
def test_occasions_are_periods(occasions: str, labels: list[str]) -> None:
    assert history_of(BY_HAND, occasions).history.occasions == labels


def test_encounters_come_by_date_and_columns_by_value() -> None:
    named = ["A", "A", "B"]
    by_date = seen(individual_id=named, encounter=["z", "y", "x"], date=["2020", "2021", None])
    assert history_of(by_date, "encounter").history.occasions == ["z", "y", "x"]
    assert history_of(seen(individual_id=named, extra=["10", "9", " 10 "]), "trip").history.occasions == ["9", "10"]
    assert history_of(seen(individual_id=named, extra=["b", "10", "a"]), "trip").history.occasions == ["10", "a", "b"]
    # of a label of two lines the second would be no comment to secr
    assert history_of(seen(individual_id=["A"], extra=["a\n 1 b"]), "trip").history.occasions == ["a 1 b"]


def test_places_are_detectors_in_metres(tmp_path: Path) -> None:
    records = seen(
        individual_id=["A", "A", "B"],
        date=["2020"] * 3,
        latitude=[0.0, 0.0, 0.0],
        longitude=[179.999, -179.999, 179.999],
    )
    files = write_history(history_of(records, "year"), tmp_path / "h.txt")
    assert [Path(file).name for file in files] == ["h.txt", "h-detectors.txt"]
    # a thousandth of a degree on the equator is 111.2 m, over the date line as elsewhere
    assert (tmp_path / "h-detectors.txt").read_text().splitlines() == ["# Detector X Y", "1 -111.2 0.0", "2 111.2 0.0"]
    assert (tmp_path / "h.txt").read_text().splitlines()[2:] == ["1 A 1 1", "1 A 1 2", "1 B 1 1"]


@given(
    cells=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=20),
    suffix=st.sampled_from(sorted(SUFFIXES)),
)
@examples(30)
def test_a_history_is_read_as_it_was_written(cells: list[tuple[int, int]], suffix: str) -> None:
    records = seen(
        individual_id=[f"id-{who}" for who, _ in cells],
        extra=[f"trip {when}" for _, when in cells],
        location=["x"] * len(cells),
    )
    captures = history_of(records, "trip")
    with tempfile.TemporaryDirectory() as folder:
        write_history(captures, Path(folder) / f"h{suffix}")
        again = read_history(Path(folder) / f"h{suffix}")
    assert (again.individuals, again.occasions) == (captures.history.individuals, captures.history.occasions)
    assert np.array_equal(again.seen, captures.history.seen)
    # brute force
    for row, who in enumerate(again.individuals):
        for column, when in enumerate(again.occasions):
            assert again.seen[row, column] == any((f"id-{a}", f"trip {b}") == (who, when) for a, b in cells)


@pytest.mark.parametrize(
    ("name", "suffix", "said"),
    [
        ("a*/b", ".inp", "MARK ends a comment at"),
        ("a b", ".txt", "secr parts fields"),
        ("a", ".xls", "is written to one of"),
    ],
)
def test_names_that_a_program_would_misread_are_refused(tmp_path: Path, name: str, suffix: str, said: str) -> None:
    captures = history_of(seen(individual_id=[name], date=["2020"], latitude=[1.0], longitude=[2.0]), "year")
    with pytest.raises(FinblendError, match=said):
        write_history(captures, tmp_path / f"h{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_history_of_nobody_is_refused() -> None:
    with pytest.raises(
        FinblendError, match=r"no photo has both a name and an occasion \(1 of 2 photos have an occasion\)"
    ):
        history_of(seen(individual_id=["A", None], date=[None, "2020"]), "year")
