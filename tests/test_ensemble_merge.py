"""Merged pseudo-labels: rounds with ledgers, nothing of one fold's set in another's training or gallery."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import Small
from planted import FOLDS, add, add_trained, few_candidates, sets_by_hand

import ensemble.part_evidence
from backbones.store import Seen
from cv import FinblendError
from cv.files import sha256_of
from cv.metrics import average_precisions
from cv.mix import Mix
from cv.pseudo_labels import PseudoLabels, write_pseudo_labels
from ensemble import Blend, Project, decide, init, merge, pseudo, register, submit, tune
from ensemble.desk import set_exam
from ensemble.exam import certified, sit
from ensemble.gallery_effect import gallery_effect
from ensemble.operators import Operators
from ensemble.prediction import ranking_of, settled
from ensemble.questions import Questions, questions_for_test, questions_out_of_fold
from ensemble.rounds import Added, NamedGallery, gallery_of, named_round
from ensemble.second_stage import SecondStage
from ensemble.sources import require_sources
from ensemble.trainees import trainees_of
from postproc import Ranking
from postproc.expansion import Expansion
from postproc.reciprocal import Reciprocal
from postproc.traits import Traits


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    add(folder / "P", small, "frozen", 1, noise=1.0)
    add_trained(folder / "P", small, "trained", 10, noise=1.0)
    tune(folder / "P", trials=0, new_share=0.15, nested_trials=0)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template / "P", tmp_path / "P")
    return tmp_path / "P"


def plain(seen: str, n: int) -> dict[int, str]:
    """Each set names the test photos from its own number on; the first of set n is a mistake of its own."""
    return {row: f"id{(row + (row == n)) % 6:02d}" for row in range(n, 10)}


@pytest.fixture
def sets(project: Path, tmp_path: Path) -> Path:
    return sets_by_hand(project, tmp_path / "p.csv", plain)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(project: Path, *args: Any, **options: Any) -> str:
    """The line that refuses a merge, which writes nothing."""
    before = tree(project)
    with pytest.raises(FinblendError) as told:
        merge(project, *args, **options)
    assert tree(project) == before
    return str(told.value)


def copy_set(path: Path, source: str, target: str) -> None:
    """Plant one fold's set, and what is said of it, under another's name."""
    for end in (".csv", ".csv.json"):
        shutil.copy(path.with_name(f"{path.stem}-{source}{end}"), path.with_name(f"{path.stem}-{target}{end}"))


def test_a_round_has_every_set_and_a_ledger(project: Path, sets: Path) -> None:
    report = merge(project, sets)
    place = project / "pseudo" / "round-1"
    ledger = json.loads((place / "ledger.json").read_text())
    assert ledger == {key: report[key] for key in ledger}
    assert (ledger["round"], ledger["kind"], ledger["from"]) == ("round-1", "training", "finblend")
    assert ledger["source"] == {"file": str(sets), "sha256": sha256_of(sets)}
    assert ledger["made"]["rule"] == "by hand"
    assert ledger["labels"] == Project.open(project).photos_hash
    rows = {f"fold-{k}": 10 - k for k in FOLDS} | {"full": 5}
    assert {seen: one["rows"] for seen, one in ledger["sets"].items()} == rows
    for seen, one in ledger["sets"].items():
        assert one["sha256"] == sha256_of(place / f"{seen}.csv")
        table = pl.read_csv(place / f"{seen}.csv")
        assert table["origin"].to_list() == ["round-1"] * rows[seen]
        assert table["why"][0] == f"said for {seen}"
    assert report["drift"]["individuals"] == 4
    assert merge(project, sets_by_hand(project, sets.with_name("q.csv"), lambda *_: {3: "id03"}))["round"] == "round-2"


def test_what_is_no_whole_round_is_refused(project: Path, sets: Path, tmp_path: Path) -> None:
    third = sets.with_name("p-fold-3.csv")
    assert f"{third}: is the set for fold-3; merge the one for full" in refused(project, third)
    assert "--as must be one of training, gallery, but got both" in refused(project, sets, kind="both")
    assert "was cut by 'finblend pseudo'" in refused(project, sets, min_prob=0.5)
    merge(project, sets)
    assert f"{sets}: was merged for training before, as round-1" in refused(project, sets)
    third.unlink()
    assert f"{third}: no such file" in refused(project, sets, kind="gallery")
    alone = tmp_path / "alone.csv"
    frame = pl.DataFrame({"image": ["te001.jpg"], "individual_id": ["id01"], "conf": [0.9]})
    write_pseudo_labels(alone, PseudoLabels(frame, "full", Project.open(project).photos_hash))
    assert "does not name the sets for the folds" in refused(project, alone)
    write_pseudo_labels(alone, PseudoLabels(frame, "full", "other", {"folds": {}}))
    assert "was made with other labels or folds than this project's" in refused(project, alone)


@pytest.mark.parametrize("kind", ["training", "gallery"])
def test_another_folds_set_is_refused(project: Path, sets: Path, kind: str) -> None:
    copy_set(sets, "fold-2", "fold-0")
    told = refused(project, sets, kind=kind, force=True)
    assert "p-fold-0.csv: its labels are for fold-2; they may have seen fold-0's labels" in told
    # nor does it help to say that it was made for fold 0
    beside = sets.with_name("p-fold-0.csv.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"never_saw": "fold-0"}))
    told = refused(project, sets, kind=kind, force=True)
    assert "p-fold-0.csv: was not written together with p.csv" in told


@pytest.mark.parametrize("forged", [False, True])
def test_another_folds_set_in_a_merged_round_is_refused(project: Path, sets: Path, forged: bool) -> None:
    merge(project, sets, kind="gallery", force=True)
    place = project / "pseudo" / "round-1"
    for end in (".csv", ".csv.json"):
        shutil.copy(place / f"fold-2{end}", place / f"fold-0{end}")
    if forged:
        ledger = json.loads((place / "ledger.json").read_text())
        ledger["sets"]["fold-0"] = ledger["sets"]["fold-2"]
        (place / "ledger.json").write_text(json.dumps(ledger))
    line = "its labels are for fold-2" if forged else "is not the file that was merged for fold-0"
    opened = Project.open(project)
    with pytest.raises(FinblendError, match=line):
        named_round(opened, "round-1").set_for(opened, "fold-0")
    with pytest.raises(FinblendError, match=line):
        tune(project, trials=0, new_share=0.15, nested_trials=0)


def elsewhere(folder: Path) -> Path:
    rows = {
        "image": ["te000.jpg", "te001.jpg", "te002.jpg", "te003.jpg"],
        "individual_id": ["id00", "id01", "new_individual", "id02"],
        "conf": [0.9, 0.4, 0.99, 0.8],
        "species": ["fin_whale", "beluga", "beluga", "beluga"],
    }
    pl.DataFrame(rows).write_csv(folder / "elsewhere.csv")
    return folder / "elsewhere.csv"


def test_a_file_from_elsewhere_is_for_full_only(project: Path, tmp_path: Path) -> None:
    path = elsewhere(tmp_path)
    report = merge(project, path, min_prob=0.5)
    assert (report["from"], list(report["sets"]), report["made"]) == ("elsewhere", ["full"], None)
    # one names nobody, one is unsure; id02 is a fin whale
    assert report["min_prob"] == 0.5
    assert (report["sets"]["full"]["rows"], report["left_out"], report["other_species"]) == (2, 2, 1)
    opened = Project.open(project)
    assert named_round(opened, "round-1").set_for(opened, "full").frame["image"].to_list() == ["te000.jpg", "te003.jpg"]
    with pytest.raises(FinblendError, match="has no set for fold-0: its labels came from elsewhere"):
        named_round(opened, "round-1").set_for(opened, "fold-0")
    assert "cannot be measured out-of-fold; --force merges it all the same" in refused(project, path, kind="gallery")
    report = merge(project, path, kind="gallery", force=True)
    assert (report["effect"], report["forced"]) == (None, True)
    assert list(gallery_of(Project.open(project)).sets) == ["full"]


def sighted(project: Project) -> Any:
    names = project.catalogue.frame["image"].to_list()
    return SimpleNamespace(names=names, files=names, boxes=[])


def test_training_takes_the_set_of_its_own_fold(project: Path, sets: Path, tmp_path: Path) -> None:
    merge(project, sets)
    merge(project, elsewhere(tmp_path))
    opened = Project.open(project)
    for k in (0, 4):
        got = trainees_of(opened, sighted(opened), Seen("fold", k), "round-1", 0.0)
        named = plain("", k)
        assert got.pseudo == len(named)
        assert [got.classes[i] for i in got.individuals[-got.pseudo :]] == list(named.values())
        assert got.images[-got.pseudo :] == [f"te{row:03d}.jpg" for row in named]
    assert trainees_of(opened, sighted(opened), Seen("full"), "round-1", 0.0).pseudo == 5
    assert trainees_of(opened, sighted(opened), Seen("full"), "round-2", 0.5).pseudo == 2
    for name, line in (("round-2", "has no set for fold-0"), ("round-3", "has no round-3; it has round-1, round-2")):
        with pytest.raises(FinblendError, match=line):
            trainees_of(opened, sighted(opened), Seen("fold", 0), name, 0.0)


def named(project: Project, who: Callable[[str, int], dict[int, str]] = plain) -> NamedGallery:
    """A gallery that is only tried."""
    images = project.catalogue.test["image"]
    sets = {}
    for n, seen in enumerate([*(f"fold-{k}" for k in FOLDS), "full"]):
        told = who(seen, n)
        frame = pl.DataFrame({"image": [images[row] for row in told], "individual_id": list(told.values())})
        sets[seen] = Added.of(project, frame)
    return NamedGallery(sets)


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


def ranked(questions: Questions, top_photos: int, whole: bool) -> Ranking:
    blend = Blend({"frozen": 1.0}, top_photos=top_photos)
    ranking = ranking_of(questions, blend)
    if not whole:
        return ranking
    return settled(questions, blend, ranking, np.arange(len(questions.images)))


@pytest.mark.parametrize("top_photos", [1, 2])
@pytest.mark.parametrize("whole", [False, True])
def test_named_photos_are_met_and_no_photo_meets_itself(
    project: Path, sets: Path, top_photos: int, whole: bool
) -> None:
    """Against every cosine, by hand: out-of-fold with the fold's own set, in test with the one for full."""
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    catalogue = opened.catalogue
    sources = require_sources(opened, ["frozen"])
    store = opened.stores()["frozen"]["frozen"]
    train, test = (np.array(store.embedding(split, "orig")) for split in ("train", "test"))
    gallery = named(opened)

    def expect(questions: Questions, rows: np.ndarray, query: np.ndarray, seen: str, fold: int | None) -> None:
        own = gallery.sets[seen]
        rest = catalogue.folds != (-1 if fold is None else fold)
        photos = np.concatenate([train[rest], test[own.rows]])
        labels = np.append(catalogue.labels[rest], own.labels)
        order, score = by_brute_force(opened, query, photos, labels, top_photos)
        found = ranked(questions, top_photos, whole).take(rows)
        for r in range(len(query)):
            there = int(np.isfinite(score[r, :7]).sum())
            assert found.individual[r, :there].tolist() == order[r, :there].tolist()
            np.testing.assert_allclose(found.score[r, :there], score[r, :there], rtol=1e-5)

    out_of_fold = questions_out_of_fold(opened, sources, {})
    for k in FOLDS:
        rows = np.flatnonzero(catalogue.folds == k)
        expect(out_of_fold, rows, train[rows], f"fold-{k}", k)
    everybody = np.arange(len(test))
    expect(questions_for_test(opened, sources, {}), everybody, test, "full", None)
    # the next round's sets meet those of this one, each its own fold's
    expect(questions_for_test(opened, sources, {}, without=2), everybody, test, "fold-2", 2)


def test_few_candidates_leave_nothing_out(project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test photo that is in the gallery would be its own nearest: its list is as long without it."""
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    few_candidates(monkeypatch, 3)
    questions = questions_for_test(opened, require_sources(opened), {"trained": "total"})
    start = questions.evidence.photo_start[questions.evidence.group_start]
    assert (np.diff(start) >= 3).all()
    n_train, own = opened.catalogue.train.height, gallery_of(opened).sets["full"]
    met = np.repeat(np.arange(12), np.diff(start))
    added = questions.evidence.photo >= n_train
    assert added.any()
    assert (own.rows[questions.evidence.photo[added] - n_train] != met[added]).all()


def test_another_folds_set_changes_nothing_for_a_fold(project: Path) -> None:
    opened = Project.open(project)
    sources = require_sources(opened)
    one = questions_out_of_fold(opened, sources, {}, supposed=named(opened))
    two = questions_out_of_fold(
        opened, sources, {}, supposed=named(opened, lambda s, n: plain(s, n) if s == "fold-1" else {11: "id02"})
    )
    blend = Blend({"frozen": 0.5, "trained": 0.5})
    mine, theirs = ranking_of(one, blend), ranking_of(two, blend)
    inside = opened.catalogue.folds == 1
    assert np.array_equal(mine.score[inside], theirs.score[inside])
    assert not np.array_equal(mine.score[~inside], theirs.score[~inside])


def test_merged_photos_score_nothing(project: Path, sets: Path) -> None:
    """The exam, its mix and its truth stay as they are; what was tuned before is tuned again."""
    before = Project.open(project)
    sources = require_sources(before)
    old = questions_out_of_fold(before, sources, {})
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    new = questions_out_of_fold(opened, sources, {})
    assert opened.photos_hash == before.photos_hash
    assert new.images == old.images
    for name in ("truth", "gallery_photos", "catalogue_photos"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
    mix = Mix(0.15, None)
    np.testing.assert_array_equal(sit(new, mix).weights, sit(old, mix).weights)
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
    desk = set_exam(opened, Mix(**blend.mix), list(blend.weights), None, blend.whitening)
    effect = gallery_effect(opened, named(opened))
    assert not list((project / "cache").glob("*supposed*"))
    told = refused(project, sets, kind="gallery")
    assert f"({effect['difference']:+.4f}, paired, 95 % " in told
    assert "--force merges it all the same" in told
    report = merge(project, sets, kind="gallery", force=True)
    assert report["effect"] == effect
    assert effect["difference"] == pytest.approx(effect["with"] - effect["without"])
    questions = questions_out_of_fold(Project.open(project), desk.sources, blend.whitening)
    exam = replace(desk.exam, questions=questions)
    own, ranking, _, _ = certified(exam, blend)
    assert exam.weights @ exam.precisions(ranking, own) == pytest.approx(effect["with"])


def test_the_effect_on_a_second_stage_is_that_of_its_answers(project: Path) -> None:
    opened = Project.open(project)
    blend = replace(Blend.load(project / "blend.json"), second_stage=True)
    plain = gallery_effect(opened, named(opened))
    blend.save(project / "blend.json")
    effect = gallery_effect(opened, named(opened))
    desk = set_exam(opened, Mix(**blend.mix), list(blend.weights), None, blend.whitening)
    with_added = questions_out_of_fold(opened, desk.sources, blend.whitening, supposed=named(opened))
    for key, questions in (("without", desk.exam.questions), ("with", with_added)):
        exam = replace(desk.exam, questions=questions)
        precision = average_precisions(SecondStage(exam, blend).answers(), exam.truth)
        assert effect[key] == pytest.approx(exam.weights @ precision)
        assert effect[key] != plain[key]


def test_the_second_stage_counts_merged_photos_and_keeps_the_galleries_background(
    project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By counting; all candidates are kept, so that they alone cannot move the background."""
    monkeypatch.setattr(ensemble.part_evidence, "prune", lambda evidence, *_: evidence)
    shutil.rmtree(project / "cache")
    before = Project.open(project)
    sources = require_sources(before, ["frozen"])
    blend = Blend({"frozen": 1.0}, second_stage=True)

    def staged(opened: Project) -> SecondStage:
        return SecondStage(sit(questions_out_of_fold(opened, sources, {}), Mix(0.15, None)), blend)

    old = staged(before)
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    new, gallery, catalogue = staged(opened), named(opened), opened.catalogue

    def check(traits: Traits, rows: np.ndarray, seen: str, fold: int, selves: bool) -> None:
        own = gallery.sets[seen]
        column = traits.names.index("gallery_photos")
        for q, row in enumerate(rows.tolist()):
            met = np.append(catalogue.labels[catalogue.folds != fold], own.labels[(own.rows != row) | (not selves)])
            for place, who in enumerate(traits.individual[q].tolist()):
                if who >= 0:
                    count = np.expm1(traits.candidate[q, place, column])
                    assert count == pytest.approx((met == who).sum(), abs=1e-4)

    for k in FOLDS:
        inside = np.flatnonzero((new.fold == k) & (np.arange(len(new.fold)) < len(catalogue.labels)))
        check(new.traits.take(inside), inside, f"fold-{k}", k, False)
    everybody = np.arange(catalogue.test.height)
    for without, fold, seen in ((None, -1, "full"), (2, 2, "fold-2")):
        (one, chances), (other, _) = (
            stage.of_test(questions_for_test(opened, sources, {}, without=without)) for stage in (new, old)
        )
        check(one, everybody, seen, fold, True)
        np.testing.assert_allclose(chances.sum(axis=1), 1.0)
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


def test_operators_know_merged_photos(project: Path, sets: Path) -> None:
    """Among the candidates and over the whole gallery alike, and no photo moves or meets itself."""
    merge(project, sets, kind="gallery", force=True)
    opened = Project.open(project)
    sources = require_sources(opened)
    how = {"frozen": Operators(Expansion(2, 1.0), Expansion(1, 3.0), Reciprocal(10, 3, 0.6))}
    for questions in (
        questions_out_of_fold(opened, sources, {"frozen": "total"}, None, how),
        questions_for_test(opened, sources, {"frozen": "total"}, operators=how),
    ):
        blend = Blend({"frozen": 0.6, "trained": 0.4})
        ranking = ranking_of(questions, blend)
        whole = settled(questions, blend, ranking, np.arange(len(questions.images)))
        np.testing.assert_array_equal(whole.individual[:, :5], ranking.individual[:, :5])
        np.testing.assert_allclose(whole.score[:, :5], ranking.score[:, :5], rtol=1e-5)
        (part,) = questions.parts[:1]
        assert part.added is not None
        with part.spaces(["frozen"]) as spaces:
            # a merged photo is moved like any other of the gallery
            plain = replace(part, operators={})
            with plain.spaces(["frozen"]) as unmoved:
                n = len(opened.catalogue.labels)
                assert (spaces["frozen"].gallery[0][0][n:] != unmoved["frozen"].gallery[0][0][n:]).any()


def test_a_gallery_that_helps_is_merged(tmp_path: Path) -> None:
    """Individuals turn round: out-of-fold photos look like the test photos only, whose names are right."""
    rng = np.random.default_rng(0)
    people, each = 30, 5
    who = np.repeat(np.arange(people), each)
    fold = np.tile(np.arange(each), people)
    # every train photo shows another side, a test photo shows all of them
    sides = rng.standard_normal((people, each, 40))
    train = sides[who, fold].astype(np.float32)
    test = sides.sum(axis=1).astype(np.float32)
    images, tests = [f"a{i:03d}.jpg" for i in range(len(who))], [f"b{i:03d}.jpg" for i in range(people)]
    table = {"image": images, "species": "whale", "individual_id": [f"i{w:02d}" for w in who], "fold": fold}
    pl.DataFrame(table).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"image": tests}).write_csv(tmp_path / "test.csv")
    folds = f"{tmp_path}/train.csv:fold"
    init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "test.csv", folds=folds)
    register(tmp_path / "P", "m", frozen=True, train=(images, train), test=(tests, test))
    tune(tmp_path / "P", trials=0, new_share=0.1, nested_trials=0)
    path = sets_by_hand(tmp_path / "P", tmp_path / "p.csv", lambda *_: {row: f"i{row:02d}" for row in range(people)})
    report = merge(tmp_path / "P", path, kind="gallery")
    assert report["effect"]["interval"][0] > 0
    assert report["effect"]["with"] > report["effect"]["without"] + 0.1
    assert report["forced"] is False
