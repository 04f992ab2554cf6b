"""Scores of pairs: every layout says the same, and what is wrong is told by its row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.formats.pairs import read_pairs
from cv import FinblendError

NAMES = ["a.jpg", "b.jpg", "ümlaut, c.jpg", "4"]
FLOAT32 = st.floats(-(2.0**59), 2.0**59, width=32, allow_subnormal=False)
CELLS = st.tuples(st.integers(0, 3), st.integers(0, 3))
TABLES = st.dictionaries(CELLS, st.tuples(FLOAT32, st.none() | FLOAT32), min_size=1)
Table = dict[tuple[int, int], tuple[float, float | None]]


def as_frame(table: Table) -> pl.DataFrame:
    columns = {
        "query": [NAMES[q] for q, _ in table],
        "gallery": [NAMES[g] for _, g in table],
        "score": [score for score, _ in table.values()],
        "second": pl.Series([second for _, second in table.values()], dtype=pl.Float64),
    }
    return pl.DataFrame(columns)


def as_list(table: Table, path: Path) -> Path:
    frame = as_frame(table)
    text = {name: np.array(frame[name].to_list()) for name in ("query", "gallery")}
    np.savez(path, **text, **{name: frame[name].fill_null(np.nan).to_numpy() for name in ("score", "second")})
    return path


def as_matrix(table: Table, path: Path, **names: np.ndarray) -> Path:
    score, second = np.full((2, 4, 4), np.nan)
    for (q, g), (one, two) in table.items():
        score[q, g], second[q, g] = one, np.nan if two is None else two
    np.savez(path, similarity=score, second=second, **names)
    return path


def written(table: Table, folder: Path) -> dict[str, Any]:
    """The same table in every layout."""
    frame = as_frame(table)
    frame.write_csv(folder / "p.csv")
    frame.cast({"query": pl.Categorical, "score": pl.Float64}).write_parquet(folder / "p.parquet")
    return {
        "csv": folder / "p.csv",
        "parquet": str(folder / "p.parquet"),
        "polars": frame,
        "pandas": frame.to_pandas(),
        "list": as_list(table, folder / "list.npz"),
        "square": as_matrix(table, folder / "square.npz", names=np.array(NAMES)),
        "matrix": as_matrix(table, folder / "m.npz", rows=np.array(NAMES), columns=np.char.encode(NAMES, "utf-8")),
    }


@given(TABLES)
def test_every_layout_says_the_same(tmp_path_factory: pytest.TempPathFactory, table: Table) -> None:
    for layout, file in written(table, tmp_path_factory.mktemp("pairs")).items():
        pairs = read_pairs(file, NAMES)
        assert pairs.second is not None
        assert pairs.is_matrix == (layout in {"square", "matrix"})
        columns = (pairs.query, pairs.gallery, pairs.score, pairs.second)
        found = {
            (q, g): (one, None if np.isnan(two) else two)
            for q, g, one, two in zip(*(column.tolist() for column in columns), strict=True)
        }
        assert found == table, layout
        assert [column.dtype for column in columns] == [np.int32, np.int32, np.float32, np.float32]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    frame = pl.DataFrame({"image_1": ["a.jpg"], "image_2": ["b.jpg"], "similarity": [0.5], "inliers": [7], "ms": [3]})
    assert (read_pairs(frame, NAMES).score.tolist(), read_pairs(frame, NAMES).second) == ([0.5], None)
    told = read_pairs(frame, NAMES, score="inliers", second="ms")
    assert told.score.tolist() == [7.0]
    assert told.second is not None
    assert told.second.tolist() == [3.0]
    assert told.columns == {"query": "image_1", "gallery": "image_2", "score": "inliers", "second": "ms"}
    distances = frame.rename({"similarity": "distance"})
    assert read_pairs(distances, NAMES, lower_is_better=True).columns["score"] == "distance"
    np.savez(tmp_path / "p.npz", names=np.array(NAMES[:2]), score=np.zeros((2, 2)), mine=np.eye(2))
    assert read_pairs(tmp_path / "p.npz", NAMES, score="mine").score.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_whole_numbers_are_names_too() -> None:
    frame = pl.DataFrame({"query": [4], "gallery": ["a.jpg"], "score": [1]})
    assert read_pairs(frame, NAMES).query.tolist() == [3]


GOOD = {"query": ["a.jpg", "b.jpg"], "gallery": ["b.jpg", "4"], "score": ["1", "0.5"], "second": ["3", ""]}
WRONG_LISTS: list[tuple[dict[str, list[str]], str]] = [
    (
        {"query": ["a.jpg", "c/b.png"]},
        "p.csv: row 2: query 'c/b.png' is no photo of the catalogue (did you mean b.jpg?)",
    ),
    ({"gallery": ["b.jpq", "4"]}, "p.csv: row 1: gallery 'b.jpq' is no photo of the catalogue (did you mean b.jpg?)"),
    (
        {"gallery": ["hump", "4"]},
        "row 1: gallery 'hump' is no photo of the catalogue (a catalogue name looks like a.jpg)",
    ),
    ({"query": ["a.jpg", ""]}, "p.csv: row 2: query is empty"),
    ({"score": ["1", ""]}, "p.csv: row 2: score is empty"),
    ({"score": ["1", "high"]}, "p.csv: row 2: score is 'high', which is no number"),
    ({"score": ["1", "NaN"]}, "p.csv: row 2: score is NaN; leave out a pair that was not compared"),
    ({"score": ["inf", "1"]}, "p.csv: row 1: score is inf; it must be finite, at most 1e+18"),
    ({"score": ["1", "-1e30"]}, "p.csv: row 2: score is -1e+30; it must be finite, at most 1e+18"),
    ({"second": ["few", ""]}, "p.csv: row 1: second is 'few', which is no number"),
    ({"second": ["inf", ""]}, "p.csv: row 1: second is inf; it must be finite, at most 1e+18"),
    ({"query": [], "gallery": [], "score": [], "second": []}, "p.csv: holds no pairs"),
]


def refused(given: Any, **options: Any) -> str:
    with pytest.raises(FinblendError) as caught:
        read_pairs(given, NAMES, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("wrong", "told"), WRONG_LISTS, ids=[told for _, told in WRONG_LISTS])
def test_a_wrong_list_is_refused_by_its_row(
    wrong: dict[str, list[str]], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    schema = dict.fromkeys(GOOD, pl.String)
    pl.DataFrame(GOOD | wrong, schema=schema).write_csv("p.csv", quote_style="never")
    assert refused("p.csv").endswith(told)


def test_tables_without_what_is_needed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "semi.csv").write_text("query;gallery;score\na.jpg;b.jpg;1\n")
    frame = pl.DataFrame(GOOD)
    assert refused("gone.csv") == "gone.csv: no such file"
    assert refused("gone.npz") == "gone.npz: no such file"
    assert refused(".") == ".: is a folder; a table is a .csv or .parquet file"
    assert refused("empty.csv") == "empty.csv: is empty"
    assert refused("cut.parquet").startswith("cut.parquet: cannot be read as parquet")
    assert refused("semi.csv").startswith("semi.csv: its header is parted by semicolons")
    assert refused(frame.drop("gallery")).startswith("pairs: needs a column gallery or gallery_image or")
    assert refused(frame, second="third").startswith("pairs: needs a column third; it has query, gallery,")
    assert refused(frame.with_columns(query=pl.lit(1.5))) == "pairs: query must be names of photos, got Float64"
    assert refused(frame.with_columns(score=pl.lit(True))) == "pairs: score must be numbers, got Boolean"


def matrix(**arrays: Any) -> Callable[[], dict[str, Any]]:
    good = {"score": np.eye(2), "query": np.array(NAMES[:2]), "gallery": np.array(NAMES[1:3])}
    return lambda: {name: np.asarray(array) for name, array in (good | arrays).items() if array is not None}


WRONG_ARRAYS = [
    (matrix(score=[[0, np.nan], [np.inf, 1]]), r"row 2, column 1: score is inf; it must be finite, at most 1e\+18"),
    (matrix(score=np.full((2, 2), np.nan)), "holds no pairs"),
    (matrix(score=np.zeros((0, 2)), query=np.array([], "U1")), "holds no pairs"),
    (matrix(score=[["a", "b"]] * 2), "score must be a matrix of numbers; it holds .*"),
    (matrix(second=[1.0, 2.0]), "second must be a matrix of numbers; it holds .*"),
    (matrix(query=None), "needs an array query or .* or rows; it holds score float64.*"),
    (matrix(query=NAMES[:3]), "query must be the names of 2 photos; it holds .*"),
    (matrix(gallery=[1, 2]), "gallery must be the names of 2 photos; it holds .*"),
    (matrix(gallery=["a.jpg", "a.jpg"]), "gallery 2: a.jpg stands twice; a photo has one row and column"),
    (matrix(query=["a.jpg", "b.png"]), r"query 2: 'b.png' is no photo of the catalogue \(did you mean b.jpg\?\)"),
    (matrix(score=None), "needs an array score or similarity; it holds .*"),
    (matrix(score=[1.0, 2.0, 3.0]), "query, gallery, score must be lists of one length; it holds .*"),
    (matrix(score=1.0), "query, gallery, score must be lists of one length; it holds .*"),
    (matrix(score=[1.0, np.nan]), "row 2: score is NaN; leave out a pair that was not compared"),
    (matrix(query=np.array(["a.jpg", None], dtype=object)), "query: holds pickled Python objects, which .*"),
]


@pytest.mark.parametrize(("arrays", "told"), WRONG_ARRAYS, ids=[told for _, told in WRONG_ARRAYS])
def test_wrong_arrays_are_refused(
    arrays: Callable[[], dict[str, Any]], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("p.npz", **arrays())
    assert re.fullmatch(f"p.npz: {told}", refused("p.npz"))
