"""One path from blend to names for out-of-fold and test, a cache that is only a cache, vectors that say the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from retrievals import retriever_with, unwhitened
from small import Small

import ensemble.outputs.submit
from cv import FinblendError, Mix, map5
from cv.metrics import average_precisions
from ensemble import Blend, Project, evaluate, export, init, models, register, submit, tune
from ensemble.blend.ranking import ranking_of
from ensemble.identification.prediction import predict
from postproc import NEW


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frozen network, and one trained per fold."""
    folder = tmp_path_factory.mktemp("predict")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed, flags in enumerate([{"frozen": True}, *({"fold": fold} for fold in range(5))]):
        train, test = small.noisy(seed + 1, 2.0)
        given = {"train": (small.train_images, train), "test": (small.test_images, test)}
        register(folder / "P", "frozen" if seed == 0 else "trained", **flags, **given)
    tune(folder / "P", trials=12, new_share=0.15, nested_trials=0)
    return folder / "P"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "P")
    return tmp_path / "P"


BLENDS = [
    Blend({"frozen": 0.6, "trained": 0.4}, rule="A", threshold=0.8),
    Blend({"frozen": 0.2, "trained": 0.8}, rule="B", threshold=0.15, background=1.0, top_photos=2, species_penalty=0.1),
]


@pytest.mark.parametrize("blend", BLENDS, ids=["A", "B"])
def test_out_of_fold_answers_are_those_of_predict(project: Path, blend: Blend) -> None:
    setup = unwhitened(project, Mix(0.15))
    query_set = setup.evaluation_set.query_set
    answers = predict(setup.evaluation_set, blend, ranking=ranking_of(query_set, blend)).labels
    said = predict(query_set, blend).labels
    np.testing.assert_array_equal(answers[: len(said)], said)
    assert (said[:, 0] == NEW).any()
    assert (said[:, 0] != NEW).any()


def test_evaluate_scores_what_predict_says(project: Path) -> None:
    blend = Blend.load(project / "blend.json")
    query_set = retriever_with(project, whitening=blend.whitening).out_of_fold()
    precision = average_precisions(predict(query_set, blend).labels, query_set.truth)
    assert evaluate(project)["raw"]["map5"] == pytest.approx(precision.mean())


def test_the_submission_is_what_predict_says(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(ensemble.outputs.submit, "predict", lambda q, b, **_: asked.append((q, b)) or predict(q, b))
    report = submit(project, tmp_path / "out.csv")
    ((query_set, blend),) = asked
    assert blend == Blend.load(project / "blend.json")
    opened = Project.open(project)
    prediction = predict(retriever_with(opened, whitening=blend.whitening).of_test(), blend)
    again = prediction.labels
    # every gallery photo is a candidate in so small a catalogue
    assert report["recomputed"] == prediction.rescored == 0
    names = opened.catalogue.individuals
    rows = [" ".join("new_individual" if k == NEW else names[k] for k in row if k != -1) for row in again]
    assert pl.read_csv(tmp_path / "out.csv")["predictions"].to_list() == rows
    assert query_set.images == opened.catalogue.test["image"].to_list()


def test_evaluate_reports_the_mix_the_parts_and_an_interval(project: Path) -> None:
    report = evaluate(project)
    assert report["mix"]["new_share"] == 0.15
    assert report["new_share"] == pytest.approx(0.15)
    assert report["map5"] == pytest.approx(0.85 * report["known"] + 0.15 * report["new"])
    low, high = report["interval"]
    assert low <= report["map5"] <= high
    assert low < high
    assert sum(row["photos"] for row in report["species"]) == report["photos"] == 60
    assert sum(row["strangers"] for row in report["species"]) == report["strangers"] == 4
    assert sum(row["share"] * row["map5"] for row in report["species"]) == pytest.approx(report["map5"])
    tuned = Blend.load(project / "blend.json").measured["map5"]
    assert report["map5"] == pytest.approx(tuned)
    assert evaluate(project, new_share=0.5)["new_share"] == pytest.approx(0.5)


def test_the_raw_mix_is_the_plain_mean(project: Path) -> None:
    tune(project, trials=0, new_share="raw", gallery_exponent=None, nested_trials=0)
    report = evaluate(project)
    assert report["map5"] == pytest.approx(report["raw"]["map5"])


def test_the_cache_may_go_at_any_time(project: Path, tmp_path: Path) -> None:
    def everything() -> tuple[object, ...]:
        submit(project, tmp_path / "out.csv")
        return models(project, new_share=0.15), evaluate(project), (tmp_path / "out.csv").read_bytes()

    first = everything()
    shutil.rmtree(project / "cache")
    assert everything() == first
    for entry in sorted((project / "cache").iterdir())[::2]:
        shutil.rmtree(entry)
    assert everything() == first
    assert everything() == first


def test_a_replaced_model_is_not_answered_from_the_cache(project: Path, tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    before = {row["model"]: row["map5"] for row in models(project, gallery_exponent=None)["models"]}
    train, test = small.noisy(40, 9.0)
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(project, "frozen", frozen=True, replace=True, **given)
    after = {row["model"]: row["map5"] for row in models(project, gallery_exponent=None)["models"]}
    assert after["frozen"] < before["frozen"] - 0.1
    assert after["trained"] == pytest.approx(before["trained"])


def test_a_submission_scores_on_the_answers_as_told(project: Path, tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    submit(project, tmp_path / "out.csv")
    truth = [f"id{a:02d}" if a < 14 else "new_individual" for a in small.answers]
    said = pl.read_csv(tmp_path / "out.csv")["predictions"].str.split(" ").to_list()
    assert map5(said, truth) > 0.6


def test_exported_vectors_multiply_to_the_blended_similarity(project: Path, tmp_path: Path) -> None:
    Blend({"frozen": 0.3, "trained": 0.7}).save(project / "blend.json")
    report = export(project, tmp_path / "vectors")
    assert report["files"] == [f"fold-{fold}.npz" for fold in range(5)]
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == report["files"]
    stores = Project.open(project).stores()
    for fold in range(5):
        with np.load(tmp_path / "vectors" / f"fold-{fold}.npz", allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
        assert found["train_embedding"].dtype == np.float32
        assert found["train_embedding"].shape == (60, report["width"])
        assert found["train_image"].tolist() == stores["frozen"]["frozen"].images("train")
        assert found["test_image"].tolist() == stores["frozen"]["frozen"].images("test")
        expected = 0.0
        for weight, store in ((0.3, stores["frozen"]["frozen"]), (0.7, stores["trained"][f"fold-{fold}"])):
            test, train = (store.embedding(split, "orig").astype(np.float64) for split in ("test", "train"))
            test, train = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (test, train))
            expected = expected + weight * test @ train.T
        np.testing.assert_allclose(found["test_embedding"] @ found["train_embedding"].T, expected, atol=1e-6)


def test_a_frozen_blend_is_one_file_that_names_test_photos_as_the_blend_does(project: Path, tmp_path: Path) -> None:
    small = Small(tmp_path / "data")
    train, test = small.noisy(30, 2.0)
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(project, "second", frozen=True, **given)
    Blend({"frozen": 0.4, "second": 0.6, "trained": 0.0}, rule="B", threshold=0.2).save(project / "blend.json")
    submit(project, tmp_path / "blend.csv")
    assert export(project, tmp_path / "vectors")["files"] == ["frozen.npz"]
    # registered as one model, the vectors give the very answers of the blend
    init(tmp_path / "Q", train=small.train_csv, test=small.sample_csv)
    path = tmp_path / "vectors" / "frozen.npz"
    with pytest.raises(FinblendError, match="seen every label"):
        register(tmp_path / "Q", "vectors", frozen=True, train=path, test=path)
    with np.load(path) as file:
        halves = {split: (file[f"{split}_image"], file[f"{split}_embedding"]) for split in ("train", "test")}
    register(tmp_path / "Q", "vectors", frozen=True, **halves)
    Blend({"vectors": 1.0}, rule="B", threshold=0.2).save(tmp_path / "Q" / "blend.json")
    submit(tmp_path / "Q", tmp_path / "vectors.csv")
    assert (tmp_path / "vectors.csv").read_bytes() == (tmp_path / "blend.csv").read_bytes()


def test_export_never_writes_over_anything(project: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for output, told in ((tmp_path / "there", "already exists"), (tmp_path / "no" / "where", "does not exist")):
        with pytest.raises(FinblendError, match=told):
            export(project, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P", "there"]


@pytest.mark.parametrize(
    "command", [evaluate, lambda p: submit(p, p.parent / "o.csv"), lambda p: export(p, p.parent / "v")]
)
def test_what_needs_a_blend_says_how_to_get_one(project: Path, command: object) -> None:
    (project / "blend.json").unlink()
    with pytest.raises(FinblendError, match="has no blend yet; use 'finblend tune"):
        command(project)  # type: ignore[operator]
    assert [path.name for path in project.parent.iterdir()] == ["P"]


def test_the_score_at_other_shares_is_that_of_evaluate(project: Path) -> None:
    told = {row["new_share"]: row for row in evaluate(project)["shares"]}
    assert told[0.0]["new"] is None
    for share in (0.1, 0.3):
        again = evaluate(project, new_share=share)
        found = next(row for key, row in told.items() if key == pytest.approx(share))
        for key in ("map5", "known", "new"):
            assert found[key] == pytest.approx(again[key], abs=1e-6)
