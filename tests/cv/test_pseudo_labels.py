"""Pseudo-labels: what a file says of itself decides what it may train."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from cv.catalogue import Catalogue, read_catalogue
from cv.errors import FinblendError
from cv.pseudo_labels import PseudoLabels, read_pseudo_labels, write_pseudo_labels

ROWS = {"image": ["a.jpg", "b.jpg", "c.jpg"], "individual_id": ["x", "y", "x"], "conf": [0.9, 0.25, 1.0]}
FRAME = pl.DataFrame(ROWS)


@pytest.fixture
def catalogue() -> Catalogue:
    train = pl.DataFrame({"image": ["t1.jpg", "t2.jpg"], "species": ["s", "s"], "individual_id": ["x", "y"]})
    return read_catalogue(train, pl.DataFrame({"image": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]}))[0]


def test_what_is_written_is_read_again(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "pseudo.csv"
    write_pseudo_labels(path, PseudoLabels(FRAME.with_columns(more=pl.lit(1)), "fold-2", "hash"))
    assert path.read_text().splitlines()[:2] == ["image,individual_id,conf", "a.jpg,x,0.9"]
    found = read_pseudo_labels(path, catalogue)
    assert (found.frame.to_dict(as_series=False), found.never_saw, found.labels) == (ROWS, "fold-2", "hash")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pseudo.csv", "pseudo.csv.json"]


@pytest.mark.parametrize(
    ("never_saw", "labels", "refusals"),
    [
        # a file that says nothing comes from elsewhere
        (None, None, {"fold-0": "does not say what it has seen, so it trains --folds full only", "fold-1": "does not"}),
        (None, "hash", {"fold-0": "does not say", "fold-1": "does not say"}),
        ("fold-0", "hash", {"fold-1": "its labels are for fold-0; they may have seen fold-1's labels"}),
        ("fold-0", "other", {"fold-0": "was made with other labels or folds", "fold-1": "was made with other"}),
        ("fold-0", None, {"fold-0": "was made with other labels or folds", "fold-1": "was made with other"}),
        ("full", "hash", {"fold-0": "its labels are for full", "fold-1": "its labels are for full"}),
    ],
)
def test_what_labels_may_train(never_saw: str | None, labels: str | None, refusals: dict[str, str]) -> None:
    pseudo = PseudoLabels(FRAME, never_saw, labels)
    for seen in ("fold-0", "fold-1", "full"):
        if seen not in refusals:
            pseudo.refuse_for(seen, "hash", "p.csv")
            continue
        with pytest.raises(FinblendError, match=f"^--pseudo p.csv: {refusals[seen]}"):
            pseudo.refuse_for(seen, "hash", "p.csv")


def test_a_file_that_changed_no_longer_is_what_was_said_of_it(catalogue: Catalogue, tmp_path: Path) -> None:
    path, beside = tmp_path / "pseudo.csv", tmp_path / "pseudo.csv.json"
    write_pseudo_labels(path, PseudoLabels(FRAME, "fold-2", "hash"))
    path.write_text(path.read_text().replace("b.jpg,y", "b.jpg,x"))
    with pytest.raises(FinblendError) as refusal:
        read_pseudo_labels(path, catalogue)
    assert str(refusal.value) == (
        f"{path}: has changed since finblend wrote it; what pseudo.csv.json says is no longer true"
    )
    for told in ([], {"never_saw": "fold-2"}, json.loads(beside.read_text()) | {"more": 1}):
        beside.write_text(json.dumps(told))
        with pytest.raises(FinblendError, match=r"pseudo.csv.json: must hold .*, may hold made, and nothing else"):
            read_pseudo_labels(path, catalogue)
    beside.write_text("{")
    with pytest.raises(FinblendError, match=r"pseudo.csv.json: is not valid JSON"):
        read_pseudo_labels(path, catalogue)
    # without its companion the same file comes from elsewhere
    beside.unlink()
    assert read_pseudo_labels(path, catalogue).never_saw is None


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"image": "t1.jpg"}, "row 2: image t1.jpg is not among the test photos"),
        ({"image": "nowhere.jpg"}, "row 2: image nowhere.jpg is not among the test photos"),
        ({"image": "a.jpg"}, "row 2: image a.jpg stands twice; every image stands once"),
        ({"image": ""}, "row 2: image is empty"),
        ({"individual_id": "z"}, "row 2: individual_id z is not among the catalogue's individuals"),
        ({"individual_id": ""}, "row 2: individual_id is empty"),
        ({"conf": "1.5"}, "row 2: conf 1.5 is not within 0 and 1"),
        ({"conf": "-0.1"}, "row 2: conf -0.1 is not within 0 and 1"),
        ({"conf": "NaN"}, "row 2: conf NaN is not within 0 and 1"),
        ({"conf": "sure"}, "row 2: conf sure is not within 0 and 1"),
        ({"conf": ""}, "row 2: conf None is not within 0 and 1"),
    ],
)
def test_bad_rows_are_named(row: dict[str, str], line: str, catalogue: Catalogue, tmp_path: Path) -> None:
    rows = [dict(zip(ROWS, map(str, values), strict=True)) for values in zip(*ROWS.values(), strict=True)]
    rows[1] |= row
    path = tmp_path / "pseudo.csv"
    path.write_text("\n".join([",".join(ROWS), *(",".join(each.values()) for each in rows)]))
    with pytest.raises(FinblendError) as refusal:
        read_pseudo_labels(path, catalogue)
    assert str(refusal.value) == f"{path}: {line}"


def test_missing_columns_and_files_are_named(catalogue: Catalogue, tmp_path: Path) -> None:
    for column in ("individual_id", "conf"):
        path = tmp_path / f"{column}.csv"
        FRAME.drop(column).write_csv(path)
        with pytest.raises(FinblendError, match=rf"{column}.csv: needs a column {column}"):
            read_pseudo_labels(path, catalogue)
    with pytest.raises(FinblendError, match=r"none.csv: no such file"):
        read_pseudo_labels(tmp_path / "none.csv", catalogue)


def test_strangers_and_the_unsure_are_left_out(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "pseudo.parquet"
    more = pl.DataFrame({"image": ["d.jpg"], "individual_id": ["new_individual"], "conf": [0.99]})
    pl.concat([FRAME, more]).write_parquet(path)
    assert read_pseudo_labels(path, catalogue).frame["image"].to_list() == ["a.jpg", "b.jpg", "c.jpg"]
    # the least confidence is enough
    assert read_pseudo_labels(path, catalogue, 0.9).frame["image"].to_list() == ["a.jpg", "c.jpg"]
    assert read_pseudo_labels(path, catalogue, 0.95).frame["image"].to_list() == ["c.jpg"]
    more.write_parquet(path)
    with pytest.raises(FinblendError, match=r"no row names an individual with conf >= 0.5"):
        read_pseudo_labels(path, catalogue, 0.5)
