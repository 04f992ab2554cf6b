"""--new-share as a number, a table by species, or an estimate: through tune, evaluate, models and decide."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cv import FinblendError, Mix
from cv.new_share import at_share
from ensemble import Blend, Project, decide, evaluate, init, models, register, tune
from ensemble.cli import main
from ensemble.protocol.new_share import DRAWS, ROUNDS, NewShareEstimate, estimate_share, setup_at_share, stated_share
from ensemble.protocol.setup import mix_warnings, read_setup
from postproc import NEW

SPECIES = ["beluga", "fin_whale"]


def drawn_world(folder: Path, new_share: float, n_test: int = 400, seed: int = 3) -> Path:
    """A project whose test strangers are known: 150 individuals of 1 to 4 photos, two frozen models."""
    rng = np.random.default_rng(seed)
    counts = rng.choice([1, 1, 2, 3, 4], 150)
    who = np.repeat(np.arange(150), counts)
    n_new = int(n_test * new_share)
    answers = np.append(rng.choice(who, n_test - n_new), 150 + np.arange(n_new))
    look = 1.6 * rng.standard_normal((150 + n_new, 16))
    kind = np.arange(150 + n_new) % 2
    look[:, 0] += 6 * kind
    folder.mkdir(parents=True)
    names = {"train": [f"tr{i}.jpg" for i in range(len(who))], "test": [f"te{i}.jpg" for i in range(n_test)]}
    pl.DataFrame(
        {
            "image": names["train"],
            "species": [SPECIES[kind[i]] for i in who],
            "individual_id": [f"id{i:03d}" for i in who],
        }
    ).write_csv(folder / "train.csv")
    pl.DataFrame({"image": names["test"], "predictions": ["new_individual"] * n_test}).write_csv(folder / "sample.csv")
    init(folder / "P", train=folder / "train.csv", test=folder / "sample.csv", folds=4)
    latent = {"train": look[who], "test": look[answers]}
    for m in range(2):
        path = folder / f"m{m}.npz"
        arrays: dict[str, Any] = {}
        for split, centre in latent.items():
            arrays[f"{split}_image"] = np.array(names[split])
            arrays[f"{split}_embedding"] = (centre + rng.standard_normal(centre.shape)).astype(np.float32)
        np.savez(path, **arrays)
        register(folder / "P", f"m{m}", frozen=True, train=path, test=path)
    return folder / "P"


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    folder = tmp_path_factory.mktemp("strangers")
    return {share: drawn_world(folder / str(share), share) for share in (0.05, 0.4)}


@pytest.fixture
def project(worlds: dict[float, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(worlds[0.4], tmp_path / "P"))


def shares(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["species,new_share", *rows]) + "\n")
    return path


def weighted_shares(evaluation_set: Any) -> list[float]:
    """Share of strangers in each likely species of an evaluation set."""
    species, new = evaluation_set.species, evaluation_set.is_new
    total, strangers = (
        np.bincount(species[m], evaluation_set.weights[m], 2) for m in (np.ones(len(new), dtype=bool), new)
    )
    return (strangers / total).tolist()


def test_a_table_weights_each_species_to_its_share(project: Path, tmp_path: Path) -> None:
    path = shares(tmp_path / "shares.csv", "beluga,0.3", "*,0.1")
    setup = setup_at_share(Project.open(project), path, None)
    assert (setup.mix.new_share, setup.estimate) == ({"*": 0.1, "beluga": 0.3}, None)
    assert setup.evaluation_set.joined == []
    assert weighted_shares(setup.evaluation_set) == pytest.approx([0.3, 0.1])


def test_the_blend_keeps_the_table_and_every_command_reads_it(project: Path, tmp_path: Path) -> None:
    path = shares(tmp_path / "shares.csv", "beluga,0.3", "fin_whale,0.1")
    stated = {"beluga": 0.3, "fin_whale": 0.1}
    tuned = tune(project, trials=8, new_share=path, nested_trials=2)
    assert tuned["mix"]["new_share"] == stated
    assert tuned["nested"]["map5"] > 0
    assert Blend.load(project / "blend.json").mix.new_share == stated
    path.unlink()
    scored = evaluate(project)
    assert scored["mix"]["new_share"] == stated
    assert scored["map5"] == pytest.approx(tuned["map5_of_answers"])
    assert 0.1 < scored["new_share"] < 0.3
    assert evaluate(project, new_share=0.25)["new_share"] == pytest.approx(0.25)
    told = decide(project, tmp_path / "d.csv")
    assert told["mix"]["new_share"] == stated
    assert told["new_share"]["assumed"] == pytest.approx(scored["new_share"])
    assert models(project, new_share=stated)["mix"]["new_share"] == stated
    # the same shares go on with the same study
    assert tune(project, trials=0, new_share=stated, nested_trials=0)["new_trials"] == 0


def test_evaluate_moves_all_species_together(project: Path) -> None:
    stated = Mix({"beluga": 0.3, "fin_whale": 0.1})
    tune(project, trials=0, new_share=stated.new_share, nested_trials=0)
    rows = {round(row["new_share"], 6): row for row in evaluate(project)["shares"]}
    assert list(rows) == [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4]
    setup = read_setup(Project.open(project), stated)
    moved = at_share(stated, 0.2, SPECIES, setup.test_species)
    assert isinstance(moved.new_share, dict)
    assert rows[0.2]["map5"] == pytest.approx(evaluate(project, new_share=moved.new_share)["map5"])
    assert rows[0.2]["map5"] != pytest.approx(evaluate(project, new_share=0.2)["map5"], abs=1e-9)


def test_a_species_too_thin_for_its_share_is_told(project: Path) -> None:
    setup = setup_at_share(Project.open(project), {"beluga": 0.9, "fin_whale": 0.0}, 0.9)
    likely = setup.evaluation_set.query_set.species.likely
    thin = setup.in_mix(setup.mix, np.flatnonzero(likely == 1)[:300])
    assert thin.evaluation_set.joined == ["beluga", "fin_whale"]
    (told,) = [w for w in mix_warnings(thin) if "too few" in w]
    assert "beluga, fin_whale; these species meet the share" in told
    assert not [w for w in mix_warnings(setup) if "too few" in w]


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_an_estimate_is_near_the_share_that_was_drawn(worlds: dict[float, Path], share: float) -> None:
    setup = setup_at_share(Project.open(worlds[share]), "estimate", 0.9)
    estimate = setup.estimate
    assert estimate is not None
    assert estimate.settled
    assert 2 <= len(estimate.rounds) <= ROUNDS
    assert abs(estimate.share - share) < 0.08
    assert 0.005 < estimate.error < 0.08
    assert setup.mix.new_share == estimate.share == estimate.rounds[-1]
    assert setup.evaluation_set.new_share == pytest.approx(estimate.share)
    assert setup.evaluation_set.weights[setup.evaluation_set.truth == NEW].sum() == pytest.approx(estimate.share)


def test_tune_takes_the_estimate_for_its_mix_and_tells_it(project: Path) -> None:
    tuned = tune(project, trials=4, new_share="estimate", nested_trials=0)
    found = tuned["estimate"]
    assert tuned["mix"]["new_share"] == found["share"]
    blend = Blend.load(project / "blend.json")
    assert blend.mix.new_share == found["share"]
    assert blend.measured["estimate"] == found
    # the same photos, the same estimate: the study goes on
    again = tune(project, trials=0, new_share="estimate", nested_trials=0)
    assert (again["estimate"], again["new_trials"]) == (found, 0)
    assert evaluate(project)["estimate"] is None
    assert evaluate(project)["new_share"] == pytest.approx(found["share"])
    scored = evaluate(project, new_share="estimate")
    assert scored["new_share"] == pytest.approx(scored["estimate"]["share"])
    assert models(project, new_share="estimate")["estimate"] == found


def test_an_estimate_never_looks_at_answers_it_moves_with_the_test_photos(worlds: dict[float, Path]) -> None:
    """The same out-of-fold photos, other test photos: another share."""
    found = {}
    for share, folder in worlds.items():
        found[share] = estimate_share(read_setup(Project.open(folder), Mix(0.2, 0.9))).share
    assert found[0.05] + 0.2 < found[0.4]


def test_an_estimate_that_does_not_settle_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemble.protocol.new_share.ROUNDS", 1)
    estimate = setup_at_share(Project.open(project), "estimate", 0.9).estimate
    assert estimate is not None
    assert not estimate.settled
    assert estimate.warnings()[0].startswith("the estimated share of strangers has not settled after 1 rounds (0.")
    assert NewShareEstimate(0.1, 0.01, [0.1, 0.1], True).warnings() == []
    assert DRAWS > 1


def test_the_command_line_from_a_table_and_an_estimate(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shares(tmp_path / "shares.csv", "beluga,0.3", "*,0.1")
    assert main(["tune", str(project), "--trials", "0", "--nested-trials", "0", "--new-share", str(path)]) == 0
    assert "estimated" not in capsys.readouterr().out
    assert main(["evaluate", str(project), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mix"]["new_share"], found["estimate"]) == ({"*": 0.1, "beluga": 0.3}, None)
    assert main(["models", str(project), "--new-share", "estimate"]) == 0
    assert "share of strangers estimated from the test photos' own scores: 0." in capsys.readouterr().out
    line = ["tune", str(project), "--trials", "0", "--nested-trials", "0", "--new-share", "estimate", "--json"]
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["settled"] is True
    assert main(["evaluate", str(project), "--new-share", "estimate"]) == 0
    told = capsys.readouterr().out
    assert "round by round" in told
    assert "standard error 0.0" in told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("half", "--new-share must be a number, a table species,new_share (.csv), 'estimate' or 'raw', but got 'half'"),
        ("gone.csv", "gone.csv: no such file"),
        ("shares.txt", "shares.txt: no such file"),
        ("1.5", "--new-share: 0 <= new_share < 1 must hold, but got new_share=1.5; did you mean 0.015?"),
        ("100", "--new-share: 0 <= new_share < 1 must hold, but got new_share=100"),
        ("1", "--new-share: 0 <= new_share < 1 must hold, but got new_share=1"),
        ("-0.5", "--new-share: 0 <= new_share < 1 must hold, but got new_share=-0.5"),
        ("inf", "--new-share: 0 <= new_share < 1 must hold, but got new_share=inf"),
    ],
)
def test_a_share_that_is_none_is_told(project: Path, value: str, told: str) -> None:
    with pytest.raises(FinblendError) as caught:
        setup_at_share(Project.open(project), value, 0.9)
    assert str(caught.value) == told


def test_numbers_and_tables_are_told_apart(project: Path, tmp_path: Path) -> None:
    opened = Project.open(project)
    assert [stated_share(opened, v) for v in (None, 0.25, "0.25", ".5", "estimate", {"*": 0.1})] == [
        None,
        0.25,
        0.25,
        0.5,
        "estimate",
        {"*": 0.1},
    ]
    assert stated_share(opened, str(shares(tmp_path / "s.csv", "*,0.3"))) == {"*": 0.3}


def test_repairs_of_the_catalogue_hold_for_the_table(tmp_path: Path) -> None:
    train = pl.DataFrame(
        {
            "image": list("abcd"),
            "species": ["kiler_whale", "kiler_whale", "beluga", "beluga"],
            "individual_id": ["i", "i", "j", "k"],
        }
    )
    test = pl.DataFrame({"image": ["t"]})
    path = shares(tmp_path / "s.csv", "kiler_whale,0.2", "beluga,0")
    init(tmp_path / "P", train=train, test=test, folds=2)
    assert stated_share(Project.open(tmp_path / "P"), path) == {"killer_whale": 0.2, "beluga": 0.0}
    init(tmp_path / "Q", train=train, test=test, folds=2, species_map="none")
    assert stated_share(Project.open(tmp_path / "Q"), path) == {"kiler_whale": 0.2, "beluga": 0.0}


def test_without_strangers_out_of_fold_nothing_can_be_estimated(tmp_path: Path) -> None:
    """Trained models do not hide individuals, and here nobody has a single photo."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "w"
    folder.mkdir()
    train = pl.DataFrame({"image": [f"a{i}" for i in range(40)], "individual_id": [f"i{i // 4}" for i in range(40)]})
    test = pl.DataFrame({"image": [f"t{i}" for i in range(10)]})
    init(folder / "P", train=train, test=test, folds=2)
    for fold in range(2):
        np.savez(
            folder / "m.npz",
            train_image=train["image"].to_numpy().astype("U"),
            train_embedding=rng.standard_normal((40, 8)).astype(np.float32),
            test_image=test["image"].to_numpy().astype("U"),
            test_embedding=rng.standard_normal((10, 8)).astype(np.float32),
        )
        register(folder / "P", "m", fold=fold, train=folder / "m.npz", test=folder / "m.npz")
    with pytest.raises(FinblendError, match=r"--new-share estimate: the stated mix has a share of 0\.2 of strangers"):
        models(folder / "P", new_share="estimate")
