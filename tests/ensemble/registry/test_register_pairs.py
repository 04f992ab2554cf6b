"""Pair sources: what is kept of foreign scores, what would leak, and what is told about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import Small

from cv import FinblendError
from ensemble import Project, init, register, register_pairs
from ensemble.cli import main
from ensemble.registry.pair_sources import require_pair_sources

# worked by hand: two photos a fold, and two encounters that straddle folds
IMAGES = ["t0", "t1", "t2", "t3", "t4", "t5"]
WHO = ["ann", "bea", "ann", "bea", "ann", "cleo"]
FOLDS = [0, 0, 1, 1, 2, 2]
ENCOUNTERS = ["e", "f", "e", "g", "h", "i"]
TRAIN = [("t0", "t3"), ("t0", "t4"), ("t1", "t2"), ("t3", "t0"), ("t4", "t0"), ("t4", "t2")]
TEST = [("q0", "t5"), ("q0", "t0"), ("q1", "t1")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of six train photos, two test photos and one that nobody has named; tests replace its pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    return made(folder / "P")


def made(folder: Path) -> Path:
    train = pl.DataFrame(
        {"image": [*IMAGES, "u"], "individual_id": [*WHO, "unknown"], "species": "fin_whale", "fold": [*FOLDS, 0]}
    ).with_columns(sighting=pl.Series([*ENCOUNTERS, "z"]))
    train.write_csv(folder.parent / "train.csv")
    test = pl.DataFrame({"image": ["q0", "q1"]})
    init(folder, train=train, test=test, folds=f"{folder.parent}/train.csv:fold", encounters="sighting")
    return folder


def table(rows: list[tuple[str, str]], **columns: Any) -> pl.DataFrame:
    query, gallery = [q for q, _ in rows], [g for _, g in rows]
    score = columns.pop("score", [float(i + 1) for i in range(len(rows))])
    return pl.DataFrame({"query": query, "gallery": gallery, "score": score, **columns})


def kept(project: Path, name: str = "x") -> dict[str, dict[tuple[str, str], float]]:
    """Pairs by names, as the store has them."""
    catalogue, store = Project.open(project).catalogue, Project.open(project).pair_stores()[name]
    found = {}
    for split, images in (("train", catalogue.train_images), ("test", catalogue.test_images)):
        pairs = store.pairs(split)
        keys = [(images[q], catalogue.train_images[g]) for q, g in zip(pairs.query, pairs.gallery, strict=True)]
        assert keys == sorted(keys, key=lambda key: (images.index(key[0]), catalogue.train_images.index(key[1])))
        found[split] = dict(zip(keys, pairs.score.tolist(), strict=True))
    return found


def refused(project: Path, pairs: Any, name: str = "x", **options: Any) -> str:
    before = sorted(project.rglob("*"))
    with pytest.raises(FinblendError) as caught:
        register_pairs(project, name, pairs=pairs, **{"replace": True, **options})
    assert sorted(project.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_query_says_of_which_split_a_pair_is(project: Path) -> None:
    rows = [*TEST, *TRAIN]
    result = register_pairs(project, "x", pairs=table(rows[::-1]), replace=True)
    assert (result.train_pairs, result.train_queries, result.test_pairs, result.test_queries) == (6, 4, 3, 2)
    expected = {pair: float(len(rows) - i) for i, pair in enumerate(rows)}
    assert kept(project) == {
        "train": {pair: expected[pair] for pair in TRAIN},
        "test": {pair: expected[pair] for pair in TEST},
    }
    assert (result.second, result.left_out) == (False, {"leaking": 0, "test_gallery": 0, "unlabelled": 0})
    require_pair_sources(Project.open(project))["x"].check_files()


def test_splits_may_come_in_files_of_their_own(project: Path) -> None:
    both = register_pairs(project, "x", pairs=table([*TRAIN, *TEST], score=1.0), replace=True)
    content = Project.open(project).pair_stores()["x"].manifest.content_sha256
    parts = {"pairs": table(TRAIN, score=1.0), "test_pairs": table(TEST, score=1.0)}
    assert register_pairs(project, "x", **parts, replace=True) == both
    assert Project.open(project).pair_stores()["x"].manifest.content_sha256 == content


@given(st.permutations(range(9)), st.sets(st.integers(0, 8)))
def test_the_order_of_rows_changes_nothing(project: Path, order: list[int], without: set[int]) -> None:
    second = [None if i in without else float(i) for i in range(9)]
    frame = table([*TRAIN, *TEST], second=pl.Series(second, dtype=pl.Float32))
    contents = []
    for each in (frame, frame[order]):
        result = register_pairs(project, "x", pairs=each, replace=True)
        assert result.second == (len(without) < 9)
        contents.append(Project.open(project).pair_stores()["x"].manifest.content_sha256)
    assert contents[0] == contents[1]


def test_a_matrix_leaves_out_what_a_list_may_not_hold(project: Path, tmp_path: Path) -> None:
    """Every photo with every other: seven named and two to be named, one cell not compared."""
    names = [*IMAGES, "u", "q0", "q1"]
    score = np.arange(81.0).reshape(9, 9)
    score[0, 3] = np.nan
    np.savez(tmp_path / "all.npz", names=np.array(names), similarity=score)
    result = register_pairs(project, "x", pairs=tmp_path / "all.npz", replace=True)
    # each photo with itself, and the two of the encounter e both ways; of 36 there are 28 left, one not compared
    allowed = {(a, b) for a in range(6) for b in range(6) if ENCOUNTERS[a] != ENCOUNTERS[b]}
    assert (result.train_pairs, result.left_out["leaking"]) == (len(allowed) - 1, 36 - len(allowed)) == (27, 8)
    # eight photos but u, with two of test in the gallery; u with all of 9, as query and as gallery photo
    assert (result.test_pairs, result.left_out["test_gallery"], result.left_out["unlabelled"]) == (12, 16, 17)
    train = {(IMAGES[a], IMAGES[b]): 9.0 * a + b for a, b in allowed - {(0, 3)}}
    test = {(names[a], IMAGES[b]): 9.0 * a + b for a in (7, 8) for b in range(6)}
    assert kept(project) == {"train": train, "test": test}
    made_from = Project.open(project).pair_stores()["x"].manifest.made["files"][0]
    assert (made_from["kind"], made_from["columns"]["query"], len(made_from["sha256"])) == ("matrix", "names", 64)


WRONG = [
    (("t0", "t0"), "row 10: query t0, gallery t0: a photo is compared with itself, and a train photo is named by "),
    (
        ("t2", "t0"),
        "row 10: query t2, gallery t0: both are of one encounter, and a train photo is named by other enc",
    ),
    (
        ("t0", "q1"),
        "row 10: query t0, gallery q1: q1 is a test photo, and gallery photos are train photos; leave such ",
    ),
    (
        ("q0", "q1"),
        "row 10: query q0, gallery q1: q1 is a test photo, and gallery photos are train photos; leave such ",
    ),
    (("t0", "t3"), "row 10: query t0, gallery t3: stands in pairs: row 1, too; a pair stands once"),
    (("t0", "t9"), "row 10: gallery 't9' is no photo of the catalogue (a catalogue name looks like t0)"),
]


@pytest.mark.parametrize(("pair", "told"), WRONG, ids=[" and ".join(pair) for pair, _ in WRONG])
def test_a_pair_that_breaks_a_rule_is_refused_by_its_row(project: Path, pair: tuple[str, str], told: str) -> None:
    assert refused(project, table([*TRAIN, *TEST, pair])).startswith(f"pairs: {told}")


def test_further_rows_that_break_the_rule_are_counted(project: Path) -> None:
    assert refused(project, table([*TRAIN, ("t0", "t2"), *TEST, ("t2", "t0")])).endswith("; 2 rows break this rule")


def test_pairs_of_photos_that_nobody_has_named_are_passed_over(project: Path) -> None:
    rows = [*TRAIN, ("u", "t0"), ("t0", "u"), *TEST]
    assert register_pairs(project, "x", pairs=table(rows), replace=True).left_out["unlabelled"] == 2


def test_both_splits_need_pairs(project: Path) -> None:
    told = "pairs: has no pair whose query is a {} photo; pairs of both splits are needed"
    assert refused(project, table(TRAIN)).startswith(told.format("test"))
    assert refused(project, table(TEST)).startswith(told.format("train"))


def test_distances_become_likenesses_that_a_sentinel_does_not_move(project: Path) -> None:
    distances = [1.0, 2.0, 3.0, 4.0, 0.0, 1e9, 3.0, 0.0, 9.0]
    frame = table([*TRAIN, *TEST], distance=distances).drop("score")
    register_pairs(project, "x", pairs=frame, lower_is_better=True, replace=True)
    # the median of the train pairs' distances above 0 is 3
    found = kept(project)
    np.testing.assert_allclose(list(found["train"].values()), [3 / 4, 3 / 5, 1 / 2, 3 / 7, 1.0, 3e-9], rtol=1e-5)
    # q0 with t0 comes before q0 with t5
    np.testing.assert_allclose(list(found["test"].values()), [1.0, 1 / 2, 1 / 4])
    assert Project.open(project).pair_stores()["x"].manifest.made["usual_distance"] == 3.0
    told = refused(project, frame.with_columns(distance=-pl.col("distance")), lower_is_better=True)
    assert told == "pairs: row 1: distance is -1; with --lower-is-better scores are distances, 0 or more"


def test_distances_taken_for_scores_are_noticed(project: Path) -> None:
    same = [1.0 if WHO[IMAGES.index(a)] == WHO[IMAGES.index(b)] else 5.0 for a, b in TRAIN]
    frame = table([*TRAIN, *TEST], score=[*same, 1.0, 1.0, 1.0])
    (told,) = register_pairs(project, "x", pairs=frame, replace=True).warnings
    assert "are these distances" in told
    assert register_pairs(project, "x", pairs=frame, lower_is_better=True, replace=True).warnings == []


def test_pairs_that_stand_in_one_direction_only_are_noticed(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    folds, images = Project.open(tmp_path / "P").catalogue.folds, small.train_images
    rows = [(images[a], images[b]) for a in range(60) for b in range(a) if folds[a] != folds[b]]
    test = [(small.test_images[0], images[0])]
    for back, expected in (([], 1), ([(b, a) for a, b in rows], 0)):
        frame = table([*rows, *back, *test], score=1.0)
        warnings = register_pairs(tmp_path / "P", "x", pairs=frame, replace=True).warnings
        assert sum("both directions" in text for text in warnings) == expected


def test_names_are_a_models_or_a_pair_sources(small: Small, tmp_path: Path) -> None:
    project, (train, test) = made(tmp_path / "P"), np.random.default_rng(0).standard_normal((2, 6, 4))
    embeddings = {"train": (IMAGES, train), "test": (["q0", "q1"], test[:2])}
    register(project, "net", frozen=True, **embeddings)
    rows = table([*TRAIN, *TEST])
    register_pairs(project, "x", pairs=rows)
    assert refused(project, rows, replace=False) == "x is a pair source already; use --replace to make it again"
    assert refused(project, rows, "net").endswith("a pair source needs another name")
    assert refused(project, rows, "../x").startswith("pair source name '../x': letters, digits, '.', '_' and '-' only")
    with pytest.raises(FinblendError, match=r"x: is a pair source of .*; a model needs another name"):
        register(project, "x", frozen=True, **embeddings)


def test_the_command_line_registers_lists_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project, rng = made(tmp_path / "P"), np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    table(TRAIN).write_csv("train_pairs.csv")
    table(TEST).write_parquet("test_pairs.parquet")
    line = ["register-pairs", "P", "loftr", "--pairs", "train_pairs.csv", "--test-pairs", "test_pairs.parquet"]
    assert main(line) == 0
    assert capsys.readouterr().out == "loftr: 6 pairs of 4 train photos, 3 pairs of 2 test photos\n"
    assert main([*line, "--replace", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["train_pairs"], told["test_pairs"], told["warnings"]) == ("loftr", 6, 3, [])
    assert main(line) == 1
    assert capsys.readouterr().err == "finblend: loftr is a pair source already; use --replace to make it again\n"
    assert main(["register-pairs", "P", "y", "--pairs", "train_pairs.csv"]) == 1
    assert capsys.readouterr().err.startswith("finblend: train_pairs.csv: has no pair whose query is a test photo")
    np.savez("m.npz", names=np.array([*IMAGES, "q0", "q1"]), score=rng.random((8, 8)))
    assert main(["register-pairs", "P", "wild", "--pairs", "m.npz"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:] == [
        "left out: 8 pairs of one encounter",
        "left out: 16 pairs with a test photo in the gallery",
    ]
    vectors = {"train": (IMAGES, rng.random((6, 4))), "test": (["q0", "q1"], rng.random((2, 4)))}
    register(project, "net", frozen=True, **vectors)
    assert main(["models", "P"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2:] == [
        "pair source loftr: 6 train and 3 test pairs, registered from train_pairs.csv and test_pairs.parquet",
        "pair source wild: 28 train and 12 test pairs, registered from m.npz",
    ]
    logged = [json.loads(text)["words"][0] for text in (project / "commands.jsonl").read_text().splitlines()]
    assert logged == ["register-pairs"] * 3
