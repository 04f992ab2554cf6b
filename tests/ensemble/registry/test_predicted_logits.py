"""Logits of a model's own head: read beside its embeddings, averaged over stores, a trait of the second stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from predicted import order_file, registered
from small import Small

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble import init, register
from ensemble.blend.blend import Blend
from ensemble.identification.second_stage import SecondStage
from ensemble.project.folder import Project
from ensemble.protocol.setup import read_setup
from ensemble.registry.predicted_logits import classes_of, logits_of, why_logits_unusable


@pytest.fixture
def small_project(tmp_path: Path) -> tuple[Path, Small]:
    small = Small(tmp_path / "data")
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, folds=3)
    return tmp_path / "P", small


@pytest.mark.parametrize("suffix", [".json", ".txt", ".csv"])
def test_a_class_order_in_three_forms(tmp_path: Path, small_project: tuple[Path, Small], suffix: str) -> None:
    folder, small = small_project
    names = sorted(set(small.individuals))
    assert registered(folder, small, order_file(tmp_path, suffix, [*names[::-1], "stranger"])) == []
    project = Project.open(folder)
    store = project.stores()["m"]["frozen"]
    found = classes_of(store, project.catalogue)
    assert found is not None
    assert found.tolist() == [*range(len(names))][::-1] + [-1]
    assert why_logits_unusable(store, project.catalogue) is None


def test_logits_of_candidates_by_hand(tmp_path: Path, small_project: tuple[Path, Small]) -> None:
    """Right 0.9, id00 0.2, who is not listed the least of the list; who is no class, and nobody, unknown."""
    folder, small = small_project
    names = sorted(set(small.individuals))
    # the network's classes are other than the catalogue's: its third is somebody else
    registered(folder, small, order_file(tmp_path, ".json", [*names[:2], "elsewhere", *names[3:]]))
    project = Project.open(folder)
    store = project.stores()["m"]["frozen"]
    asked = np.array([[13, 0, 5, -1], [1, 0, 2, 5]])
    found = logits_of([store, store], "train", np.array([59, 8]), asked, project.catalogue)
    assert found is not None
    assert found[0] == pytest.approx([0.9, 0.2, 0.2, np.nan], nan_ok=True)
    assert found[1] == pytest.approx([0.9, 0.2, np.nan, 0.2], nan_ok=True)
    assert logits_of([], "train", np.array([59]), asked[:1], project.catalogue) is None


def test_what_cannot_be_used_is_told(tmp_path: Path, small_project: tuple[Path, Small]) -> None:
    folder, small = small_project
    names = sorted(set(small.individuals))
    (told,) = registered(folder, small, None)
    assert "no class order" in told
    assert "kept, but not used" in told
    (told,) = registered(folder, small, order_file(tmp_path, ".json", names[:3]), name="short")
    assert "the class order has 3 names" in told
    broken = tmp_path / "broken.json"
    broken.write_text("{not json")
    (told,) = registered(folder, small, broken, name="broken")
    assert "no class order" in told


def test_a_head_s_logits_are_traits_of_the_second_stage(tmp_path: Path, small_project: tuple[Path, Small]) -> None:
    folder, small = small_project
    names = sorted(set(small.individuals))
    registered(folder, small, order_file(tmp_path, ".json", names))
    given = {
        s: (i, a)
        for s, i, a in zip(("train", "test"), (small.train_images, small.test_images), small.noisy(2), strict=True)
    }
    register(folder, "plain", frozen=True, **given)
    setup = read_setup(Project.open(folder), Mix(0.2, None))
    stage = SecondStage.of(setup.evaluation_set, Blend({"m": 0.5, "plain": 0.5}, dict(setup.whitening)))
    features = stage.features(setup.evaluation_set)
    assert {"logit:m", "known:logit:m"} <= set(features.names)
    assert "logit:plain" not in features.names
    truth = setup.evaluation_set.truth
    at = features.candidate[..., features.names.index("logit:m")]
    right = (features.individual == truth[:, None]) & features.present
    # the planted head is always right: nobody stands above the right individual
    assert (at[right] >= np.nanmax(at, axis=1)[right.any(axis=1)] - 1e-6).all()
    known = features.candidate[..., features.names.index("known:logit:m")]
    np.testing.assert_array_equal(np.isnan(at), features.present & (known == 0))
    assert right.any(axis=1).sum() > 30


def test_the_folds_logits_do_not_judge_by_a_full_store_that_has_none(
    tmp_path: Path, small_project: tuple[Path, Small]
) -> None:
    folder, small = small_project
    order = order_file(tmp_path, ".json", sorted(set(small.individuals)))
    for fold in range(3):
        registered(folder, small, order, noise=10 + fold, fold=fold)
    train, test = small.noisy(20, 1.0)
    register(folder, "m", full=True, train=(small.train_images, train), test=(small.test_images, test))
    setup = read_setup(Project.open(folder), Mix(0.2, None))
    stage = SecondStage.of(setup.evaluation_set, Blend({"m": 1.0}, dict(setup.whitening)))
    assert "logit:m" in stage.features(setup.evaluation_set).names
    for use in ("folds", "both"):
        queries = setup.retriever.of_test(use)
        features = stage.table.of_test(queries)
        assert stage.posteriors(queries).probability.sum(axis=1) == pytest.approx(1)
        assert features.candidate[..., features.names.index("known:logit:m")].any()
    with pytest.raises(FinblendError, match="m: the second stage was fitted with its logits"):
        stage.posteriors(setup.retriever.of_test("full"))
