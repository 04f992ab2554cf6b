"""Galleries with merged pseudo-labels: who is met there, what scores and what it is worth, against brute force."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import FOLDS, few_candidates, plain
from retrievals import precisions_of, retriever_with

import ensemble.retrieval.evidence
from cv import FinblendError
from cv.left_out import FOLD, LEFT_OUT
from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble import Blend, Project, decide, merge, pseudo, submit, tune
from ensemble.blend.ranking import ranking_of, rescored
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.project.pseudo_rounds import AddedPhotos, GalleryAdditions, gallery_of
from ensemble.protocol.certify import certify
from ensemble.protocol.evaluation_set import build_evaluation_set
from ensemble.protocol.setup import setup_of_blend
from ensemble.pseudo_labels.gallery_effect import gallery_effect
from ensemble.retrieval.query_set import QuerySet
from postproc import Ranking
from postproc.second_stage.features import CandidateFeatures


def named(project: Project, who: Callable[[str, int], dict[int, str]] = plain) -> GalleryAdditions:
    """A gallery that is only tried."""
    images = project.catalogue.test["image"]
    sets = {}
    for n, seen in enumerate([*(f"fold-{k}" for k in FOLDS), "full"]):
        told = who(seen, n)
        frame = pl.DataFrame({"image": [images[row] for row in told], "individual_id": list(told.values())})
        sets[seen] = AddedPhotos.of(project, frame)
    return GalleryAdditions(sets)


def by_brute_force(
    project: Project, query: np.ndarray, gallery: np.ndarray, labels: np.ndarray, top_photos: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, people) mean of each individual's best photos; -inf for who is not there. A photo never meets itself."""
    q, g = (
        a.astype(np.float64) / np.linalg.norm(a.astype(np.float64), axis=1, keepdims=True) for a in (query, gallery)
    )
    cosine = q @ g.T
    same = (query[:, None, :] == gallery[None, :, :]).all(axis=2)
    cosine[same] = -np.inf
    out = np.full((len(q), len(project.catalogue.individuals)), -np.inf)
    for who in np.unique(labels):
        own = np.sort(cosine[:, labels == who], axis=1)[:, ::-1][:, :top_photos]
        there = np.isfinite(own)
        total = np.where(there, own, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        out[:, who] = np.where(there.any(axis=1), total, -np.inf)
    order = np.argsort(-out, axis=1, kind="stable")
    return order, np.take_along_axis(out, order, axis=1)


def ranked(query_set: QuerySet, top_photos: int, whole: bool) -> Ranking:
    blend = Blend({"frozen": 1.0}, top_photos=top_photos)
    ranking = ranking_of(query_set, blend)
    if not whole:
        return ranking
    return rescored(query_set, blend, ranking, np.arange(len(query_set.images)))


@pytest.mark.parametrize("leave_out", LEFT_OUT)
@pytest.mark.parametrize("top_photos", [1, 2])
@pytest.mark.parametrize("whole", [False, True])
def test_named_photos_are_met_and_no_photo_meets_itself(
    project: Path, sets: Path, top_photos: int, whole: bool, leave_out: str
) -> None:
    """Against every cosine, by hand: out-of-fold with the fold's own set, in test with the one for full."""
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    catalogue = opened.catalogue
    store = opened.stores()["frozen"]["frozen"]
    train, test = (np.array(store.embedding(split, "orig")) for split in ("train", "test"))
    gallery = named(opened)

    def expect(query_set: QuerySet, rows: np.ndarray, query: np.ndarray, seen: str, fold: int | None) -> None:
        own = gallery.sets[seen]
        rest = catalogue.folds != (-1 if fold is None else fold)
        photos = np.concatenate([train[rest], test[own.rows]])
        labels = np.append(catalogue.labels[rest], own.labels)
        order, score = by_brute_force(opened, query, photos, labels, top_photos)
        found = ranked(query_set, top_photos, whole).take(rows)
        for r in range(len(query)):
            there = int(np.isfinite(score[r, :7]).sum())
            assert found.individual[r, :there].tolist() == order[r, :there].tolist()
            np.testing.assert_allclose(found.score[r, :there], score[r, :there], rtol=1e-5)

    retriever = retriever_with(opened, ["frozen"], leave_out=leave_out)
    out_of_fold = retriever.out_of_fold()
    for k in FOLDS:
        rows = np.flatnonzero(catalogue.folds == k)
        # without encounters a photo meets all but itself, of its own fold, too
        expect(out_of_fold, rows, train[rows], f"fold-{k}", k if leave_out == FOLD else None)
    everybody = np.arange(len(test))
    expect(retriever.of_test(), everybody, test, "full", None)
    # the next round's sets meet those of this one, each its own fold's
    expect(retriever.of_test_without(2), everybody, test, "fold-2", 2)


def test_few_candidates_leave_nothing_out(project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test photo that is in the gallery would be its own nearest: its list is as long without it."""
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    few_candidates(monkeypatch, 3)
    query_set = retriever_with(opened, whitening={"trained": "total"}).of_test()
    start = query_set.evidence.photo_start[query_set.evidence.group_start]
    assert (np.diff(start) >= 3).all()
    n_train, own = opened.catalogue.train.height, gallery_of(opened).sets["full"]
    met = np.repeat(np.arange(12), np.diff(start))
    added = query_set.evidence.photo >= n_train
    assert added.any()
    assert (own.rows[query_set.evidence.photo[added] - n_train] != met[added]).all()


def test_another_folds_set_changes_nothing_for_a_fold(project: Path) -> None:
    opened = Project.open(project)
    other = named(opened, lambda s, n: plain(s, n) if s == "fold-1" else {11: "id02"})
    one, two = (retriever_with(opened, tried=gallery).out_of_fold() for gallery in (named(opened), other))
    blend = Blend({"frozen": 0.5, "trained": 0.5})
    mine, theirs = ranking_of(one, blend), ranking_of(two, blend)
    inside = opened.catalogue.folds == 1
    assert np.array_equal(mine.score[inside], theirs.score[inside])
    assert not np.array_equal(mine.score[~inside], theirs.score[~inside])


def test_merged_photos_score_nothing(project: Path, sets: Path) -> None:
    """The evaluation set, its mix and its truth stay as they are; what was tuned before is tuned again."""
    before = Project.open(project)
    old = retriever_with(before).out_of_fold()
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    new = retriever_with(opened).out_of_fold()
    assert opened.photos_hash == before.photos_hash
    assert new.images == old.images
    for name in ("truth", "gallery_photos", "catalogue_photos"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
    mix = Mix(0.15, None)
    np.testing.assert_array_equal(build_evaluation_set(new, mix).weights, build_evaluation_set(old, mix).weights)
    for action in (submit, decide):
        with pytest.raises(FinblendError, match=r"was tuned with another gallery.*run 'finblend tune"):
            action(project, project.parent / "out.csv")
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert Blend.load(project / "blend.json").gallery == gallery_of(opened).fingerprint
    submit(project, project.parent / "out.csv")
    decide(project, project.parent / "d.csv", precision=0.5)
    # a named test photo may be the one most like another
    photos = set(pl.read_csv(project.parent / "d.csv")["photo_1"].drop_nulls())
    assert photos <= {*opened.catalogue.train["image"], *opened.catalogue.test["image"]}
    shutil.rmtree(project / "pseudo")
    with pytest.raises(FinblendError, match="was tuned with another gallery"):
        submit(project, project.parent / "out.csv")


def test_trials_of_another_gallery_are_not_taken_for_this_ones(project: Path, sets: Path) -> None:
    merge(project, sets, kind="gallery", force=True)
    report = tune(project, trials=0, new_share=0.15, nested_trials=0)
    assert report["trials"] == report["new_trials"]


def test_the_effect_is_what_the_merged_gallery_scores(project: Path, sets: Path) -> None:
    opened = Project.open(project)
    blend = Blend.load(project / "blend.json")
    setup = setup_of_blend(opened, blend)
    effect = gallery_effect(opened, named(opened))
    assert not list((project / "cache").glob("*supposed*"))
    with pytest.raises(FinblendError) as refused:
        merge(project, sets, kind="gallery")
    told = str(refused.value)
    assert f"({effect['difference']:+.4f}, paired, 95 % " in told
    assert "--force merges it all the same" in told
    report = merge(project, sets, kind="gallery", force=True)
    assert report.effect == effect
    assert report["effect"] == effect.as_dict()
    assert effect["difference"] == pytest.approx(effect["with"] - effect["without"])
    query_set = retriever_with(Project.open(project), list(setup.models), whitening=blend.whitening).out_of_fold()
    evaluation_set = replace(setup.evaluation_set, query_set=query_set)
    certified = certify(evaluation_set, blend)
    precision = precisions_of(evaluation_set, certified.ranking, certified.blend)
    assert evaluation_set.weights @ precision == pytest.approx(effect["with"])


def test_the_effect_on_a_second_stage_is_that_of_its_answers(project: Path) -> None:
    opened = Project.open(project)
    blend = replace(Blend.load(project / "blend.json"), second_stage=True)
    plain = gallery_effect(opened, named(opened))
    blend.save(project / "blend.json")
    effect = gallery_effect(opened, named(opened))
    setup = setup_of_blend(opened, blend)
    with_added = replace(setup.retriever, gallery=named(opened), is_tried=True).out_of_fold()
    for key, query_set in (("without", setup.evaluation_set.query_set), ("with", with_added)):
        evaluation_set = replace(setup.evaluation_set, query_set=query_set)
        labels = predict(evaluation_set, blend, stage=SecondStage.of(evaluation_set, blend)).labels
        precision = average_precisions(labels, evaluation_set.truth)
        assert effect[key] == pytest.approx(evaluation_set.weights @ precision)
        assert effect[key] != plain[key]


def test_the_second_stage_counts_merged_photos_and_keeps_the_galleries_background(
    project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By counting; all candidates are kept, so that they alone cannot move the background."""
    monkeypatch.setattr(ensemble.retrieval.evidence, "prune", lambda evidence, *_: evidence)
    shutil.rmtree(project / "cache")
    blend = Blend({"frozen": 1.0}, second_stage=True)

    def staged() -> SecondStage:
        query_set = retriever_with(project, ["frozen"], leave_out=FOLD).out_of_fold()
        return SecondStage.of(build_evaluation_set(query_set, Mix(0.15, None)), blend)

    old = staged()
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    new, gallery, catalogue = staged(), named(opened), opened.catalogue

    def check(features: CandidateFeatures, rows: np.ndarray, seen: str, fold: int, selves: bool) -> None:
        own = gallery.sets[seen]
        column = features.names.index("gallery_photos")
        for q, row in enumerate(rows.tolist()):
            met = np.append(catalogue.labels[catalogue.folds != fold], own.labels[(own.rows != row) | (not selves)])
            for place, who in enumerate(features.individual[q].tolist()):
                if who >= 0:
                    count = np.expm1(features.candidate[q, place, column])
                    assert count == pytest.approx((met == who).sum(), abs=1e-4)

    evaluation_set = new.evaluation_set
    for k in FOLDS:
        inside = np.flatnonzero((evaluation_set.fold == k) & ~evaluation_set.is_simulated)
        check(new.features(evaluation_set).take(inside), inside, f"fold-{k}", k, False)
    everybody = np.arange(catalogue.test.height)
    retriever = retriever_with(opened, ["frozen"], leave_out=FOLD)
    for query_set, fold, seen in ((retriever.of_test(), -1, "full"), (retriever.of_test_without(2), 2, "fold-2")):
        one, other = (stage.table.of_test(query_set) for stage in (new, old))
        check(one, everybody, seen, fold, True)
        np.testing.assert_allclose(new.posteriors(query_set).probability.sum(axis=1), 1.0)
        column = one.names.index("cohort:blend")
        assert one.candidate[..., column].any()
        np.testing.assert_allclose(one.candidate[..., column], other.candidate[..., column], rtol=1e-6)


def test_a_second_round_is_named_by_the_second_stage_over_the_merged_gallery(project: Path, sets: Path) -> None:
    merge(project, sets, kind="gallery", force=True)
    tune(project, trials=0, new_share=0.15, nested_trials=0)
    replace(Blend.load(project / "blend.json"), second_stage=True).save(project / "blend.json")
    report = pseudo(project, project.parent / "second.csv", min_prob=0.3, trials=0)
    assert all(one["rows"] > 0 for one in report["sets"])
    submit(project, project.parent / "out.csv")
    decide(project, project.parent / "d.csv", precision=0.5)
    first = pl.read_csv(project.parent / "out.csv")["predictions"].str.split(" ").list.first()
    assert first.to_list() == pl.read_csv(project.parent / "d.csv")["name_1"].to_list()
