"""`--neighbours approximate` from the command line, what the blend keeps of it, and what is told of its cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import ensemble
from ensemble import Blend, Project
from ensemble.cli import main
from ensemble.protocol.approximation import DRAWN, Approximation, upper_limit, widened
from postproc.neighbours import approximate
from postproc.neighbours.inverted_file import InvertedFile

pytest.importorskip("faiss")

WIDTH, PHOTOS = 32, 500


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """500 photos of 200 animals of two species, one source; an index that gives so few photos that it is one."""
    monkeypatch.setattr(approximate, "SPARE", 8)
    monkeypatch.setattr("ensemble.retrieval.task.NEAREST", 8)
    rng = np.random.default_rng(0)
    who = np.sort(rng.integers(0, 200, PHOTOS))
    looks = rng.standard_normal((220, WIDTH))
    asked = rng.integers(0, 220, 40)
    images = [[f"{split}{n:03d}.jpg" for n in range(m)] for split, m in (("a", PHOTOS), ("b", 40))]
    species = ["beluga" if each % 2 else "fin_whale" for each in who]
    table = {"image": images[0], "species": species, "individual_id": [f"id{each:03d}" for each in who]}
    pl.DataFrame(table).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": images[1], "predictions": ["new_individual"] * 40}).write_csv(tmp_path / "sample.csv")
    ensemble.init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "sample.csv")
    path = tmp_path / "m.npz"
    vectors = [(looks[rows] + 0.5 * rng.standard_normal((len(rows), WIDTH))).astype("f4") for rows in (who, asked)]
    np.savez(path, train_image=images[0], train_embedding=vectors[0], test_image=images[1], test_embedding=vectors[1])
    ensemble.register(tmp_path / "P", "m", frozen=True, train=path, test=path)
    return tmp_path / "P"


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    """What a command prints as JSON, and its warnings."""
    assert main([*map(str, words), "--json"]) == 0
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


TUNE = ("--trials", 2, "--nested-trials", 1, "--new-share", "0.15")


def test_what_was_tuned_approximately_is_told_so_and_stays_so(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact, shown = told(capsys, "tune", project, *TUNE)
    assert exact["approximation"] is None
    assert "approximate" not in shown
    kept = {entry.name for entry in Project.open(project).cache.iterdir()}
    found, shown = told(capsys, "tune", project, *TUNE, "--neighbours", "approximate")
    assert (
        "neighbours are approximate: no bound holds for photos that the index passes over; exact ones of 500" in shown
    )
    # exact lists stay where they are
    assert {name for name in kept if name.startswith(("nearest", "evidence"))} <= {
        entry.name for entry in Project.open(project).cache.iterdir()
    }
    cost = found["approximation"]
    assert cost["drawn"] == DRAWN
    assert 0.9 < cost["recall"] <= cost["recall_first"] <= 1
    assert cost["at_most"] == pytest.approx(upper_limit(cost["changed"], DRAWN))
    assert found["trials"] == exact["trials"] == found["new_trials"]
    assert found["certified"]["least"] <= found["map5"] - cost["at_most"]
    assert Blend.load(project / "blend.json").neighbours == "approximate"
    assert Blend.load(project / "blend.json").measured["approximation"] == cost
    scored, shown = told(capsys, "evaluate", project)
    assert scored["approximation"] == cost
    assert "neighbours are approximate" in shown
    assert main(["decide", str(project), "--output", str(tmp_path / "d.csv")]) == 0
    assert "neighbours are approximate" in capsys.readouterr().err
    assert main(["evaluate", str(project)]) == 0
    assert f"approximate neighbours: of {DRAWN} photos drawn by weight" in capsys.readouterr().out.replace("\n", " ")
    assert main(["submit", str(project), "--output", str(tmp_path / "s.csv")]) == 0
    assert "neighbours are approximate" in capsys.readouterr().err
    assert main(["report", str(project), "--output", str(tmp_path / "r.html")]) == 0
    assert "what approximate neighbours could move, in these intervals" in (tmp_path / "r.html").read_text()


def test_a_bad_index_is_found_out(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that gives 30 photos at random: lists have as much as chance, and most answers score otherwise."""
    rng = np.random.default_rng(0)

    def at_random(self: InvertedFile, view: int, rows: np.ndarray, k: int) -> np.ndarray:
        return np.stack([rng.permutation(PHOTOS)[:30] for _ in rows])

    monkeypatch.setattr(InvertedFile, "search", at_random)
    found, _ = told(capsys, "tune", project, *TUNE, "--neighbours", "approximate")
    cost = found["approximation"]
    assert cost["recall"] < 0.3
    assert cost["changed"] > DRAWN / 4
    assert cost["changed"] / DRAWN < cost["at_most"] < 1
    low, high = found["nested"]["prediction"]
    assert high - low > 2 * cost["at_most"] or high == 1 or low == 0


def test_blends_that_differ_in_how_neighbours_are_found_are_compared_with_a_word_on_it(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "tune", project, "--trials", 1, "--nested-trials", 0, "--new-share", "0.15")
    kept = (project / "blend.json").rename(tmp_path / "exact.json")
    told(capsys, "tune", project, *TUNE, "--neighbours", "approximate")
    _, shown = told(capsys, "compare", project, "--blend", kept)
    assert "what an index passes over is part of the difference" in " ".join(shown.split())


def test_a_wrong_word_is_told_in_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(project), "--neighbours", "hnsw"]) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("neighbours must be one of exact, approximate, but got neighbours='hnsw'")
    )


@pytest.mark.parametrize("share", [0.0, 0.003, 0.05, 0.4])
def test_the_limit_is_above_the_share_in_nearly_all_draws(share: float) -> None:
    changed = np.random.default_rng(1).binomial(DRAWN, share, 2000)
    limits = np.array([upper_limit(each, DRAWN) for each in range(changed.max() + 1)])
    assert (limits[changed] >= share).mean() >= 0.97


def test_intervals_are_as_they_were_without_an_approximation() -> None:
    assert widened((0.25, 0.5), None) == [0.25, 0.5]


def test_intervals_are_wider_on_both_sides_and_end_at_0_and_1() -> None:
    found = Approximation(drawn=DRAWN, changed=0, at_most=0.25, recall=1.0, recall_first=1.0)
    assert widened((0.5, 0.625), found) == [0.25, 0.875]
    assert widened((0.125, 0.875), found) == [0.0, 1.0]
