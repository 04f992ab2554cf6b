"""Two blends photo by photo: against `evaluate`, against rankings counted by hand, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small import Small

from cv.errors import FinblendError
from ensemble import Blend, Project, evaluate, init, register, tune
from ensemble.cli import main
from ensemble.comparison.compare import compare
from ensemble.comparison.compared import matched_rows


def project(small: Small, name: str, seeds: tuple[int, ...], **options: Any) -> Path:
    """A project of some networks, tuned on its starting points."""
    folder = small.folder / name
    train = options.pop("train", small.train_csv)
    init(folder, train=train, test=small.sample_csv, folds=options.pop("folds", 5))
    for seed in seeds:
        path = small.write_npz(f"m{seed}.npz", *small.noisy(seed, 1.0 + seed))
        register(folder, f"m{seed}", frozen=True, train=path, test=path)
    tune(folder, trials=0, nested_trials=0, gallery_exponent=None, **{"new_share": 0.15, **options})
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """P of three networks, Q of one of them and a worse one, S as P from a table in another order."""
    small = Small(tmp_path_factory.mktemp("comparison"))
    found = {"P": project(small, "P", (1, 2, 3)), "Q": project(small, "Q", (1, 4))}
    frame = pl.read_csv(small.train_csv)
    folds = Project.open(found["P"]).catalogue.train.select("image", (pl.col("fold") * 7 % 5).alias("fold"))
    folds.write_csv(small.folder / "folds.csv")
    frame.sample(fraction=1.0, shuffle=True, seed=3).write_csv(small.folder / "shuffled.csv")
    (small.folder / "S").mkdir()
    found["S"] = project(
        small, "S", (1, 2, 3), train=small.folder / "shuffled.csv", folds=f"{small.folder}/folds.csv:fold"
    )
    return found | {"small": small.folder}


@pytest.fixture
def raw(world: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """P and Q with every photo once and of one weight: weights depend on the species that each side sees."""
    before = {who: (world[who] / "blend.json").read_text() for who in "PQ"}
    for who, text in before.items():
        mix = {"new_share": None, "gallery_exponent": None}
        (world[who] / "blend.json").write_text(json.dumps(json.loads(text) | {"mix": mix}))
    yield world
    for who, text in before.items():
        (world[who] / "blend.json").write_text(text)


def test_each_side_scores_what_evaluate_says(raw: dict[str, Path]) -> None:
    world = raw
    found = compare(world["P"], world["Q"])
    one = evaluate(world["P"])
    two = evaluate(world["Q"])
    assert found["first"]["map5"] == pytest.approx(one["map5"], abs=1e-12)
    assert found["second"]["map5"] == pytest.approx(two["map5"], abs=1e-12)
    assert found["difference"] == pytest.approx(two["map5"] - one["map5"], abs=1e-12)
    assert found["known"]["first"] == pytest.approx(one["known"], abs=1e-12)
    assert found["new"]["second"] == pytest.approx(two["new"], abs=1e-12)
    assert found["first"]["interval"] == pytest.approx(one["interval"], abs=1e-12)
    for row, own in zip(found["species"], one["species"], strict=True):
        assert row["first"] == pytest.approx(own["map5"], abs=1e-12)
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert sum(found[key] for key in ("second_better", "first_better", "equal")) == pytest.approx(1.0)


def test_the_other_way_round_everything_changes_its_sign(raw: dict[str, Path]) -> None:
    world = raw
    there, back = compare(world["P"], world["Q"]), compare(world["Q"], world["P"])
    assert back["difference"] == pytest.approx(-there["difference"])
    assert back["interval"] == pytest.approx([-there["interval"][1], -there["interval"][0]])
    assert back["second_better"] == there["first_better"]
    assert back["photos"]["second_better"] == there["photos"]["first_better"] > 0


def test_the_order_of_rows_and_the_numbers_of_folds_are_of_no_matter(world: dict[str, Path]) -> None:
    row = matched_rows(Project.open(world["P"]), Project.open(world["S"]))
    images = [Project.open(world[who]).catalogue.train["image"].to_numpy() for who in "PS"]
    assert not (images[0] == images[1]).all()
    assert (images[0] == images[1][row]).all()
    found = compare(world["P"], world["S"])
    assert found["difference"] == pytest.approx(0.0, abs=1e-12)
    assert found["equal"] == 1.0
    assert found["photos"] == {"compared": 116, "second_better": 0, "first_better": 0, "same": 116, "most": []}


def test_a_listed_photo_has_the_precision_of_its_place_and_the_largest_differences_come_first(
    world: dict[str, Path],
) -> None:
    found = compare(world["P"], world["Q"], photos=6)["photos"]
    assert len(found["most"]) == 12
    of = {row["image"]: row for row in Project.open(world["P"]).catalogue.train.iter_rows(named=True)}
    gains = []
    for photo in found["most"]:
        for who in ("first", "second"):
            given = photo[who]
            at = given["answers"].index(photo["truth"]) + 1 if photo["truth"] in given["answers"] else None
            assert given["place"] == at
            assert given["precision"] == pytest.approx(1 / at if at else 0.0)
            # each name stands beside another photo of that very individual
            for answer, picture in zip(given["answers"], given["photos"], strict=True):
                assert (picture is None) == (answer == "new_individual")
                if picture is not None:
                    assert of[picture]["individual_id"] == answer
                    assert picture != photo["image"]
        gains.append(photo["weight"] * (photo["second"]["precision"] - photo["first"]["precision"]))
    assert gains[:6] == sorted(gains[:6], reverse=True)
    assert gains[6:] == sorted(gains[6:])
    assert min(gains[:6]) > 0 > max(gains[6:])
    # all photos together are the whole difference
    every = compare(world["P"], world["Q"], photos=1000)
    moved = [p["weight"] * (p["second"]["precision"] - p["first"]["precision"]) for p in every["photos"]["most"]]
    assert sum(moved) == pytest.approx(every["difference"])


def test_two_blends_of_one_project(world: dict[str, Path], tmp_path: Path) -> None:
    tuned = Blend.load(world["P"] / "blend.json")
    shutil.copy(world["P"] / "blend.json", tmp_path / "same.json")
    found = compare(world["P"], blend=tmp_path / "same.json")
    assert (found["first"]["name"], found["second"]["name"]) == ("same.json", "blend.json")
    assert (found["difference"], found["equal"]) == (0.0, 1.0)
    # nobody is ever new: strangers score what is left below the names, known ones more or the same
    never = Blend(tuned.weights, tuned.whitening, rule="A", threshold=-100.0, mix=tuned.mix)
    never.save(tmp_path / "never.json")
    found = compare(world["P"], blend=tmp_path / "never.json")
    assert found["new"]["difference"] > 0
    # to rounding: a weighted mean of halves
    assert found["first"]["new"] <= 0.5 + 1e-12


def test_two_files_of_one_name_are_told_apart(world: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(world["P"] / "blend.json", tmp_path / "blend.json")
    found = compare(world["P"], blend=tmp_path / "blend.json")
    names = (found["first"]["name"], found["second"]["name"])
    assert names == (str(tmp_path / "blend.json"), str(world["P"] / "blend.json"))


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_computed(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemble.comparison.compare.setups_of", lambda *_: pytest.fail("it was computed"))
    with pytest.raises(FinblendError, match=r"the folder .* does not exist"):
        compare(world["P"], world["Q"], output=tmp_path / "gone" / "page.html")
    with pytest.raises(FinblendError, match="is a folder"):
        compare(world["P"], world["Q"], output=tmp_path)
    with pytest.raises(FinblendError, match="is no folder of photos"):
        compare(world["P"], world["Q"], output=tmp_path / "page.html", images=tmp_path / "gone")


def test_a_second_stage_answers_cross_fitted_and_is_told_from_what_is_in_sample(
    world: dict[str, Path], tmp_path: Path
) -> None:
    own = world["P"] / "blend.json"
    plain = own.read_text()
    staged = json.dumps(json.loads(plain) | {"second_stage": True})
    (tmp_path / "staged.json").write_text(staged)
    found = compare(world["P"], blend=tmp_path / "staged.json", photos=100)
    try:
        own.write_text(staged)
        alone = evaluate(world["P"])
    finally:
        own.write_text(plain)
    assert found["first"]["map5"] == pytest.approx(alone["map5"], abs=1e-12)
    assert (found["first"]["second_stage"], found["second"]["second_stage"]) == (True, False)
    assert found["first"]["measured"].startswith("second stage cross-fitted")
    assert found["second"]["measured"].startswith("in-sample")
    assert any("blend.json's rule and threshold have seen the photos" in line for line in found["warnings"])
    # its answers have photos, too
    of = {row["image"]: row["individual_id"] for row in Project.open(world["P"]).catalogue.train.iter_rows(named=True)}
    pairs = [
        pair
        for photo in found["photos"]["most"]
        for pair in zip(photo["first"]["answers"], photo["first"]["photos"], strict=True)
    ]
    assert pairs
    assert all(of.get(picture, "new_individual") == answer for answer, picture in pairs)


def test_nested_is_what_evaluate_nested_says(raw: dict[str, Path], tmp_path: Path) -> None:
    world = raw
    found = compare(world["P"], world["Q"], nested=True, nested_trials=0)["nested"]
    alone = evaluate(world["Q"], nested=True, nested_trials=0)["nested"]
    assert found["second"] == pytest.approx(alone["map5"], abs=1e-12)
    assert found["difference"] == pytest.approx(found["second"] - found["first"])
    assert found["measured"].startswith("nested")
    shutil.copy(world["P"] / "blend.json", tmp_path / "same.json")
    with pytest.raises(FinblendError, match="one and the same blend"):
        compare(world["P"], blend=tmp_path / "same.json", nested=True)


def test_where_one_is_trained_photos_do_not_play_strangers(world: dict[str, Path]) -> None:
    small = Small(world["small"] / "again")
    folder = small.folder / "T"
    init(folder, train=small.train_csv, test=small.sample_csv)
    for fold in range(5):
        path = small.write_npz(f"trained{fold}.npz", *small.noisy(9 + fold, 1.0))
        register(folder, "trained", fold=fold, train=path, test=path)
    tune(folder, trials=0, nested_trials=0, new_share=0.15, gallery_exponent=None)
    for one, two in (("P", folder), (folder, world["P"])):
        found = compare(world.get(str(one), one), two)
        assert found["photos"]["compared"] == 60
        assert not any(photo["plays_stranger"] for photo in found["photos"]["most"])
        assert found["new"]["share"] == pytest.approx(0.15)
    assert found["first"]["map5"] == pytest.approx(evaluate(folder)["map5"], abs=1e-12)


def test_other_photos_individuals_or_folds_are_refused(world: dict[str, Path]) -> None:
    small = Small(world["small"] / "others")
    frame = pl.read_csv(small.train_csv)
    frame.head(59).write_csv(small.folder / "fewer.csv")
    renamed = pl.when(pl.col("image") == "tr004.jpg").then(pl.lit("id05")).otherwise(pl.col("individual_id"))
    frame.with_columns(renamed.alias("individual_id")).write_csv(small.folder / "renamed.csv")
    one = Project.open(world["P"])
    for name, options, told in (
        ("fewer", {"train": small.folder / "fewer.csv"}, "lacks train photo tr059.jpg"),
        ("renamed", {"train": small.folder / "renamed.csv"}, "train photo tr004.jpg is of id05, but of id00"),
        ("folds", {"folds": 4}, "its folds part the photos otherwise"),
        ("halves", {"folds": 3}, "its folds part the photos otherwise"),
    ):
        init(small.folder / name, **{"train": small.train_csv, "test": small.sample_csv, **options})
        with pytest.raises(FinblendError, match=told):
            matched_rows(one, Project.open(small.folder / name))
    with pytest.raises(FinblendError, match=r"lacks train photo tr059\.jpg"):
        matched_rows(Project.open(small.folder / "fewer"), one)


def test_another_mix_is_told_and_that_of_the_own_blend_is_taken(world: dict[str, Path], tmp_path: Path) -> None:
    tuned = json.loads((world["P"] / "blend.json").read_text())
    tuned["mix"] = {"new_share": 0.3, "gallery_exponent": None}
    (tmp_path / "more.json").write_text(json.dumps(tuned))
    found = compare(world["P"], blend=tmp_path / "more.json")
    # rule and threshold are the same: in the same mix so are the scores
    assert found["difference"] == 0.0
    assert found["mix"]["new_share"] == 0.15
    assert found["new"]["share"] == pytest.approx(0.15)
    assert "those of the mix of blend.json" in found["measured"]
    (told,) = [line for line in found["warnings"] if "another mix" in line]
    assert told.startswith("more.json was tuned for another mix (share of strangers 0.3, gallery mix raw)")
    assert any(line.startswith("more.json is not as 'finblend tune' wrote it") for line in found["warnings"])


def test_the_command_tells_one_winner_only_where_the_interval_does(
    world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(world["P"]), str(world["Q"])]) == 0
    plain = capsys.readouterr()
    assert "neither is clearly better: Q - P" in plain.out
    assert "--nested compares them on photos that no choice was made on" in plain.err
    tuned = Blend.load(world["P"] / "blend.json")
    Blend(tuned.weights, tuned.whitening, rule="B", threshold=100.0, mix=tuned.mix).save(tmp_path / "all_new.json")
    assert main(["compare", str(world["P"]), "--blend", str(tmp_path / "all_new.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["interval"][0] > 0
    assert found["second_better"] > 0.975
    assert np.sign(found["known"]["difference"]) == 1
    assert main(["compare", str(world["P"]), "--blend", str(tmp_path / "all_new.json")]) == 0
    assert "blend.json is better: blend.json - all_new.json +" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compare", "P"], "compare it with another project"),
        (["compare", "P", "Q", "--blend", "P/blend.json"], "compare it with another project"),
        (["compare", "P", "P"], "is the same project"),
        (["compare", "P", "--blend", "P/blend.json"], "is the project's own blend"),
        (["compare", "P", "--blend", "gone.json"], "gone.json: cannot be read"),
        (["compare", "P", "gone"], "gone: is not a finblend project"),
        (["compare", "P", "Q", "--photos", "-1"], "photos=-1"),
        (["compare", "P", "Q", "--nested-trials", "-1"], "nested_trials=-1"),
        (["compare", "P", "Q", "--images", "."], "name it with -o compare.html"),
        (["compare", "P", "Q", "-o", "no/where.html"], "no/where.html: the folder no does not exist"),
    ],
)
def test_refusals_are_one_line(
    world: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(world["small"])
    assert main(words) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("finblend: warning")]
    assert len(lines) == 1
    assert told in lines[0]
