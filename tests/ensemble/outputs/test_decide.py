"""decisions.csv: names with probabilities, bands that keep a precision, nothing scored by what was fitted on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small import Small

import ensemble.identification.rank_posterior
import ensemble.outputs.decide
from cv import FinblendError
from ensemble import decide, init, register, submit, tune
from ensemble.blend.blend import Blend
from ensemble.identification.posteriors import Answers
from ensemble.identification.scored_blend import posterior_model_of
from ensemble.outputs.bands import BANDS, Bands, CrossFittedAnswers, bands_for
from ensemble.project.folder import Project
from ensemble.protocol.setup import setup_of_blend
from postproc import NEW

NAMES = [f"name_{k}" for k in range(1, 6)]
PROBABILITIES = [f"probability_{k}" for k in range(1, 6)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decisions")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed in (1, 2):
        train, test = small.noisy(seed, 1.0)
        given = {"train": (small.train_images, train), "test": (small.test_images, test)}
        register(folder / "P", f"m{seed}", frozen=True, **given)
    tune(folder / "P", trials=8, new_share=0.15, nested_trials=0)
    return folder / "P"


def test_every_test_photo_is_named_with_probabilities(project: Path, tmp_path: Path) -> None:
    report = decide(project, tmp_path / "d.csv", precision=0.5)
    submit(project, tmp_path / "s.csv")
    table = pl.read_csv(tmp_path / "d.csv")
    answers = pl.read_csv(tmp_path / "s.csv")
    assert table["image"].to_list() == answers["image"].to_list()
    assert report["rows"] == table.height
    train = pl.read_parquet(project / "catalogue.parquet").filter(pl.col("split") == "train")
    owner = dict(train.select("image", "individual_id").iter_rows())
    for row, told in zip(table.iter_rows(named=True), answers["predictions"].str.split(" "), strict=True):
        names, shares = [row[n] for n in NAMES], [row[p] for p in PROBABILITIES]
        assert shares == sorted(shares, reverse=True)
        assert 0 <= sum(shares) <= 1 + 1e-5
        # the blend ranks the names, the probabilities only place somebody new among them
        known = [name for name in names if name != "new_individual"]
        assert known[:4] == [name for name in told.to_list() if name != "new_individual"][:4]
        for k, name in enumerate(names, start=1):
            assert row[f"photo_{k}"] is None if name == "new_individual" else owner[row[f"photo_{k}"]] == name
    assert sum(band["share"] for band in report["bands"].values()) == pytest.approx(1)
    assert sum(band["expected_share"] for band in report["bands"].values()) == pytest.approx(1)
    assert table["band"].value_counts().height == sum(band["share"] > 0 for band in report["bands"].values())


def test_a_precision_that_few_photos_cannot_show_leaves_all_to_people(project: Path, tmp_path: Path) -> None:
    report = decide(project, tmp_path / "d.csv", precision=0.9999)
    assert report["thresholds"] == {"auto": None, "new": None}
    assert set(pl.read_csv(tmp_path / "d.csv")["band"]) == {"review"}


def test_thresholds_are_the_lowest_that_keep_the_precision() -> None:
    """Against trying every threshold."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        n = int(rng.integers(1, 60))
        first = rng.choice([NEW, 3], n)
        sure, right, weights = rng.integers(1, 9, n) / 8, rng.random(n) < 0.7, rng.integers(0, 4, n) / 4
        found = bands_for(first, sure, right, weights, 0.75)
        for chosen, own in ((found.auto, first >= 0), (found.new, first == NEW)):
            kept = []
            for threshold in np.unique(sure[own]):
                inside = own & (sure >= threshold)
                w = weights[inside]
                # three quarters right cannot be shown by fewer than four photos
                if w.sum() > 0 and w.sum() ** 2 >= 4 * (w @ w) and w @ right[inside] >= 0.75 * w.sum():
                    kept.append(threshold)
            assert chosen == (min(kept) if kept else np.inf)


def test_bands_of_first_answers() -> None:
    labels = np.array([4, 4, NEW, NEW, -1])
    assert Bands(0.9, 0.8).of(labels, np.array([0.9, 0.89, 0.8, 0.7, 1.0])).tolist() == [0, 1, 2, 1, 1]


@pytest.mark.parametrize("precision", [0.0, 1.0, float("nan")])
def test_impossible_precisions_are_refused(project: Path, tmp_path: Path, precision: float) -> None:
    with pytest.raises(FinblendError, match="0 < precision < 1"):
        decide(project, tmp_path / "d.csv", precision=precision)
    assert not (tmp_path / "d.csv").exists()


def test_probabilities_come_from_the_other_folds(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, whole = [], ensemble.identification.rank_posterior.fit_posterior

    def noted(lists, truth, weights):  # type: ignore[no-untyped-def]
        fitted.append(len(truth))
        return whole(lists, truth, weights)

    monkeypatch.setattr(ensemble.identification.rank_posterior, "fit_posterior", noted)
    decide(project, tmp_path / "d.csv")
    # five folds' others, each photo missing once, then all for the test photos
    assert len(fitted) == 6
    assert sum(fitted[:5]) == 4 * fitted[5]


def test_a_fold_that_alone_has_weight_is_named(project: Path) -> None:
    opened = Project.open(project)
    blend = Blend.load(opened.blend_path)
    evaluation_set = setup_of_blend(opened, blend).evaluation_set
    alone = replace(evaluation_set, weights=np.where(evaluation_set.fold == 1, evaluation_set.weights, 0.0))
    with pytest.raises(FinblendError, match="without fold 1 no photo has weight"):
        posterior_model_of(alone, blend).posteriors(alone)


def test_a_folds_bands_are_chosen_on_the_other_folds_alone() -> None:
    """Two folds whose first answers are all right, and all wrong: each is judged by what the other shows."""
    labels = np.full((4, 1), 7)
    answers = Answers(labels, np.array([[0.9], [0.8], [0.9], [0.8]]), np.zeros((4, 1), dtype=int))
    right, fold = np.array([True, True, False, False]), np.array([0, 0, 1, 1])
    cross_fitted = CrossFittedAnswers(answers, right, np.ones(4), fold)
    assert [BANDS[n] for n in cross_fitted.band(0.5)] == ["review", "review", "auto", "auto"]
    expected = cross_fitted.expected(0.5)
    assert (expected["auto"], expected["review"]) == ((0.5, 0.0), (0.5, 1.0))
    # on all of them together every photo would pass
    assert cross_fitted.bands(0.5).auto == 0.8
