"""Terms of wildlife-datasets by hand and against scikit-learn; the whole benchmark on a small frame."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score
from small import Small

# behind the installed packages
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.accuracy.wildlife_terms import nearest, recipe, scored, terms

NEW = "new_individual"


def test_terms_by_hand() -> None:
    truth = ["ann", "ann", "bob", "cid", "dee", "dee"]
    answers = [["ann", NEW], [NEW, "ann"], ["ann", "bob"], [NEW, "ann"], ["bob", NEW], [NEW, "bob"]]
    found = terms(truth, answers, known=["ann", "bob"])
    # ann is named twice, once behind somebody new; bob never
    assert found.top1 == pytest.approx(2 / 3)
    # of ann's photos one is answered right, of bob's none
    assert found.baks == pytest.approx((1 / 2 + 0) / 2)
    # cid's one photo is new, and one of dee's two
    assert found.baus == pytest.approx((1 + 1 / 2) / 2)
    assert found.geometric == pytest.approx(math.sqrt(0.25 * 0.75))
    # ann 1/2, bob 0, everybody new 2/3
    assert found.balanced == pytest.approx((1 / 2 + 0 + 2 / 3) / 3)


def test_balanced_accuracies_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    people = np.array([f"p{i}" for i in range(12)], dtype=object)
    truth, first = people[rng.integers(0, 12, 400)], people[rng.integers(0, 12, 400)]
    known = people[:8]
    first = np.where(np.isin(first, known), first, NEW)
    found = terms(truth.tolist(), [[name] for name in first], known)
    wanted = np.where(np.isin(truth, known), truth, NEW)
    assert found.balanced == pytest.approx(balanced_accuracy_score(wanted, first))
    inside = np.isin(truth, known)
    # a class of answers alone, somebody new, has no recall
    right = [np.mean(first[truth == name] == name) for name in known]
    assert found.baks == pytest.approx(np.mean(right))
    assert found.baus == pytest.approx(np.mean([np.mean(first[truth == name] == NEW) for name in people[8:]]))
    assert found.top1 == pytest.approx(np.mean(first[inside] == truth[inside]))


def test_a_part_without_photos_has_no_accuracy() -> None:
    found = terms(["ann"], [["ann"]], ["ann"])
    assert (found.top1, found.baks, found.balanced) == (1, 1, 1)
    assert math.isnan(found.baus)
    assert math.isnan(terms(["cid"], [[NEW]], ["ann"]).baks)


def test_the_nearest_photo_names_and_the_threshold_says_new() -> None:
    similarity = np.array([[0.9, 0.1], [0.2, 0.3]])
    usable = np.array([[True, True], [True, True]])
    assert nearest(similarity, ["ann", "bob"], 0.5, usable) == [["ann", NEW], [NEW, "bob"]]
    usable[0, 0] = False
    assert nearest(similarity, ["ann", "bob"], 0.0, usable)[0] == ["bob", NEW]
    # two who are told apart, and one who is met in no other fold: any threshold between is perfect
    looks = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    labels, folds, lions = ["a", "a", "b", "b", "c"], np.array([0, 1, 0, 1, 0]), np.array(["lion"] * 5)
    score, answers = recipe(looks, looks[[0, 4]] * [[1], [0]], labels, folds, [lions, lions[:2]])
    assert score == 1
    assert answers[0] == ["a", NEW]
    assert answers[1][0] == NEW
    # the photo that looks like a lion's is a seal's: no lion is its answer, however alike
    lions[2:4] = "seal"
    assert recipe(looks, looks[[0]], labels, folds, [lions, np.array(["seal"])])[1][0][1] == "b"


def test_a_frame_and_its_split_go_through_the_real_commands(tmp_path: Path) -> None:
    small = Small(tmp_path)
    answers = [f"id{i:02d}" for i in small.answers]
    images = small.train_images + small.test_images
    split = ["train"] * len(small.train_images) + ["test"] * len(answers)
    frame = pl.DataFrame({"path": images, "identity": small.individuals + answers, "split": split})
    frame.write_csv(tmp_path / "frame.csv")
    features = {}
    for seed, noise in ((1, 0.2), (2, 1.0)):
        features[f"m{seed}"] = str(tmp_path / f"m{seed}.npz")
        vectors = np.concatenate(small.noisy(seed, noise))
        np.savez(features[f"m{seed}"], features=vectors, path=np.array(images))
    options = argparse.Namespace(folds=3, encounters=None, trials=2, new_share="raw")
    found = scored(tmp_path / "frame.csv", "split", features, options)
    assert [name.split(",")[0] for name in found] == ["finblend", "nearest photo", "nearest photo"]
    assert all(figures.top1 >= 0.8 for figures in found.values())
    assert all(0 <= figures.baus <= 1 for figures in found.values())
