"""Models trained per fold: each fold is scored in its own network's space only; test averages the spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from retrievals import retriever_with
from small import Small

from cv import FinblendError
from ensemble import Blend, Project, evaluate, init, models, register, submit, tune
from ensemble.identification.prediction import certain_ranking

FOLDS = range(5)


@pytest.fixture
def project(small: Small, tmp_path: Path) -> Path:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    return tmp_path / "P"


def add(project: Path, small: Small, name: str, train: Any, test: Any, **seen: Any) -> None:
    register(project, name, train=(small.train_images, train), test=(small.test_images, test), **seen)


def float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def looks(small: Small, seed: int) -> np.ndarray:
    """What each train photo's individual looks like, without any noise."""
    who = np.unique(small.individuals, return_inverse=True)[1]
    return np.random.default_rng(seed).standard_normal((who.max() + 1, 24))[who]


def known(project: Path, name: str) -> float:
    return next(row["known"] for row in models(project)["models"] if row["model"] == name)


def test_what_a_network_memorised_does_not_show_in_its_own_fold(project: Path, small: Small) -> None:
    """Fold K's network knows every photo it was trained on by heart, and nothing of fold K's."""
    folds = Project.open(project).catalogue.folds
    rng = np.random.default_rng(0)
    for fold in FOLDS:
        noise = rng.standard_normal((60, 24))
        train = np.where((folds == fold)[:, None], noise, looks(small, 1 + fold))
        add(project, small, "leak", float32(train), float32(rng.standard_normal((12, 24))), fold=fold)
    assert known(project, "leak") < 0.4


def test_networks_that_do_know_their_own_folds_photos_score_one(project: Path, small: Small) -> None:
    """The control of the test above: the same looks, nothing drowned in noise, every fold in a space of its own."""
    rng = np.random.default_rng(0)
    for fold in FOLDS:
        train = looks(small, 1 + fold) + 0.01 * rng.standard_normal((60, 24))
        add(project, small, "honest", float32(train), float32(rng.standard_normal((12, 24))), fold=fold)
    assert known(project, "honest") == pytest.approx(1.0)


def test_turning_each_folds_space_changes_no_score(project: Path, small: Small) -> None:
    """A cosine never compares two networks, so rotating every fold's space its own way leaves all scores alone."""
    train, test = small.noisy(1, noise=2.0)
    add(project, small, "one", train, test, frozen=True)
    for fold in FOLDS:
        turn = np.linalg.qr(np.random.default_rng(fold).standard_normal((24, 24)))[0]
        add(project, small, "turned", float32(train @ turn), float32(test @ turn), fold=fold)
    scores = {row["model"]: row for row in models(project)["models"]}
    for key in ("map5", "known"):
        assert scores["turned"][key] == pytest.approx(scores["one"][key], abs=1e-9)
    assert scores["one"]["map5"] < 0.99


def spaces(small: Small) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Five folds' networks, one that saw all labels, one frozen."""
    return {name: small.noisy(seed + 1, 2.0) for seed, name in enumerate(["0", "1", "2", "3", "4", "full", "frozen"])}


def unit(array: np.ndarray) -> np.ndarray:
    wide = array.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def cosines(space: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(test, train) cosines of one space."""
    return unit(space[1]) @ unit(space[0]).T


def best_per_individual(similarity: np.ndarray, small: Small) -> tuple[list[str], np.ndarray]:
    names = sorted(set(small.individuals))
    who = np.array(small.individuals)
    return names, np.stack([similarity[:, who == name].max(axis=1) for name in names], axis=1)


def expected_rows(similarity: np.ndarray, small: Small, threshold: float) -> list[str]:
    """Rule B by hand: somebody new is one more individual, whose score is the threshold."""
    names, scores = best_per_individual(similarity, small)
    rows = []
    for row in scores:
        ranked = sorted([(-score, name) for score, name in zip(row, names, strict=True)] + [(-threshold, "")])
        rows.append(" ".join(name or "new_individual" for _, name in ranked[:5]))
    return rows


@pytest.mark.parametrize(
    ("use", "tasks"),
    [("folds", ["0", "1", "2", "3", "4"]), ("full", ["full"]), ("both", ["0", "1", "2", "3", "4", "full"])],
)
def test_test_photos_are_named_by_the_mean_cosine_over_spaces(
    project: Path, small: Small, tmp_path: Path, use: str, tasks: list[str]
) -> None:
    given = spaces(small)
    for fold in FOLDS:
        add(project, small, "trained", *given[str(fold)], fold=fold)
    add(project, small, "trained", *given["full"], full=True)
    add(project, small, "frozen", *given["frozen"], frozen=True)
    mean = sum(cosines(given[task]) for task in tasks) / len(tasks)
    similarity = 0.7 * mean + 0.3 * cosines(given["frozen"])
    threshold = float(np.median(best_per_individual(similarity, small)[1].max(axis=1)))
    blend = Blend({"trained": 0.7, "frozen": 0.3}, rule="B", threshold=threshold)
    blend.save(project / "blend.json")
    submit(project, tmp_path / "out.csv", use=use)
    found = pl.read_csv(tmp_path / "out.csv")
    assert found["image"].to_list() == small.test_images
    assert found["predictions"].to_list() == expected_rows(similarity, small, threshold)
    assert found["predictions"].str.contains("^new_individual").any()
    assert not found["predictions"].str.contains("^new_individual").all()


def test_views_are_compared_with_all_gallery_views_and_averaged_over_query_views(project: Path, small: Small) -> None:
    one, mirrored = (small.noisy(seed, 2.0) for seed in (1, 2))
    both = [{"orig": one[i], "hflip": mirrored[i]} for i in range(2)]
    add(project, small, "m", *both, frozen=True)
    ranking, _ = certain_ranking(retriever_with(project).of_test(), Blend({"m": 1.0}))
    galleries = [unit(one[0]), unit(mirrored[0])]
    per_view = [np.maximum(*(unit(query) @ gallery.T for gallery in galleries)) for query in (one[1], mirrored[1])]
    scores = np.mean([best_per_individual(similarity, small)[1] for similarity in per_view], axis=0)
    order = np.argsort(-scores, axis=1)[:, :5]
    np.testing.assert_array_equal(ranking.individual[:, :5], order)
    np.testing.assert_allclose(ranking.score[:, :5], np.take_along_axis(scores, order, axis=1), atol=1e-6)


def test_a_missing_fold_is_named_by_every_command_that_needs_it(project: Path, small: Small, tmp_path: Path) -> None:
    given = spaces(small)
    add(project, small, "whole", *given["frozen"], frozen=True)
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    for fold in (0, 1, 2, 4):
        add(project, small, "part", *given[str(fold)], fold=fold)
    row = next(row for row in models(project)["models"] if row["model"] == "part")
    assert row["usable"] is False
    assert row["map5"] is None
    assert "fold 3 is not registered" in row["reason"]
    with pytest.raises(FinblendError, match="part: fold 3 is not registered"):
        tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert evaluate(project)["map5"] > 0, "the blend has no use for it"
    tune(project, trials=0, new_share=0.15, nested_trials=0, models=["whole"])
    Blend({"whole": 0.5, "part": 0.5}).save(project / "blend.json")
    for command in (evaluate, lambda folder: submit(folder, tmp_path / "out.csv")):
        with pytest.raises(FinblendError, match="part: fold 3 is not registered"):
            command(project)
    assert not (tmp_path / "out.csv").exists()


def test_a_full_store_alone_is_refused_by_tune_with_the_reason(project: Path, small: Small) -> None:
    add(project, small, "all", *spaces(small)["full"], full=True)
    assert "seen every label" in models(project)["models"][0]["reason"]
    with pytest.raises(FinblendError, match="all: has only a --full store, which has seen every label"):
        tune(project, trials=0, new_share=0.15, nested_trials=0)


def test_a_full_store_takes_no_part_out_of_fold(project: Path, small: Small) -> None:
    given = spaces(small)
    for fold in FOLDS:
        add(project, small, "m", *given[str(fold)], fold=fold)
    before = models(project)["models"][0]
    add(project, small, "m", float32(looks(small, 3)), given["full"][1], full=True)
    after = models(project)["models"][0]
    assert after["stores"] == [*before["stores"], "full"]
    assert (after["map5"], after["known"]) == (before["map5"], before["known"])


@pytest.mark.parametrize(
    ("use", "told"), [("full", "no model of the blend has a --full store"), ("all", "folds, full")]
)
def test_use_is_refused_where_it_means_nothing(
    project: Path, small: Small, tmp_path: Path, use: str, told: str
) -> None:
    add(project, small, "m", *spaces(small)["frozen"], frozen=True)
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    with pytest.raises(FinblendError, match=told):
        submit(project, tmp_path / "out.csv", use=use)
    assert not (tmp_path / "out.csv").exists()
