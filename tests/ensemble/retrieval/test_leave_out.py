"""Each train photo against all but its encounter: whom it meets, and that its own label tells nothing about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import add
from retrievals import retriever_with
from small import Small

import ensemble.retrieval.evidence
import postproc.transforms.whitening
from cv.left_out import ENCOUNTER, FOLD, LEFT_OUT
from cv.mix import Mix
from ensemble import Blend, Project, init, register
from ensemble.blend.ranking import ranking_of
from ensemble.identification.candidate_table import CandidateTable
from ensemble.protocol.evaluation_set import build_evaluation_set
from ensemble.protocol.larger_gallery import _ranking_without
from ensemble.retrieval.retriever import Retriever
from ensemble.retrieval.whitening import KeptWhitening
from postproc import NEW
from postproc.second_stage.features import CandidateFeatures

BLEND = Blend({"m0": 0.6, "m1": 0.4})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("data"))


def made(small: Small, folder: Path, who: list[str] | None = None, changed: int | None = None) -> Project:
    """Pairs of photos of every other individual are encounters; three folds; `changed` has other embeddings."""
    names = np.array(small.individuals)
    encounter = [
        f"{name} {(names[:k] == name).sum() // 2}" if int(name[2:]) % 2 else None for k, name in enumerate(names)
    ]
    fold = [sum(map(ord, e or small.train_images[k])) % 3 for k, e in enumerate(encounter)]
    folder.mkdir()
    table = {
        "image": small.train_images,
        "individual_id": who or small.individuals,
        "species": "s",
        "fold": fold,
        "encounter": encounter,
    }
    pl.DataFrame(table).write_csv(folder / "train.csv")
    init(
        folder / "P",
        train=folder / "train.csv",
        test=small.sample_csv,
        folds=f"{folder / 'train.csv'}:fold",
        encounters="encounter",
    )
    for n in range(2):
        if changed is None:
            add(folder / "P", small, f"m{n}", n + 1)
        else:
            train, test = small.noisy(100 * (n + 1), 2.0)
            train[changed] = np.random.default_rng(n).standard_normal(24)
            given = {"train": (small.train_images, train), "test": (small.test_images, test)}
            register(folder / "P", f"m{n}", frozen=True, **given)
    return Project.open(folder / "P")


def met_by(project: Project, leave_out: str) -> np.ndarray:
    """(n, n) bool: whether a photo meets another, from the table."""
    train = project.catalogue.train
    key = train["fold"].cast(pl.String) if leave_out == FOLD else train["encounter"].fill_null(train["image"])
    own = key.to_numpy()
    return np.asarray(own[:, None] != own[None, :])


def cosines(project: Project) -> np.ndarray:
    """(n, n) what the blend scores, from the stores."""
    total = np.zeros((len(project.catalogue.labels),) * 2)
    for name, weight in BLEND.weights.items():
        array = np.array(project.stores()[name]["frozen"].embedding("train", "orig"), dtype=np.float64)
        array /= np.linalg.norm(array, axis=1, keepdims=True)
        total += weight * array @ array.T
    return total


@pytest.mark.parametrize("leave_out", LEFT_OUT)
def test_a_photo_is_ranked_by_whom_it_meets_and_by_nobody_else(small: Small, tmp_path: Path, leave_out: str) -> None:
    project = made(small, tmp_path / "w")
    query_set = retriever_with(project, leave_out=leave_out).out_of_fold()
    labels, met, score = project.catalogue.labels, met_by(project, leave_out), cosines(project)
    assert query_set.leave_out == leave_out
    have = (met & (labels[:, None] == labels)).sum(axis=1)
    np.testing.assert_array_equal(query_set.gallery_photos, have)
    np.testing.assert_array_equal(query_set.truth, np.where(have == 0, NEW, labels))
    ranking, evidence = ranking_of(query_set, BLEND), query_set.evidence
    start = evidence.photo_start[evidence.group_start]
    for q in range(len(labels)):
        candidates = evidence.photo[start[q] : start[q + 1]]
        assert met[q, candidates].all()
        best = {who: score[q, met[q] & (labels == who)].max() for who in set(labels[met[q]].tolist())}
        order = sorted(best, key=lambda who: -best[who])[:7]
        assert ranking.individual[q, : len(order)].tolist() == order
        np.testing.assert_allclose(ranking.score[q, : len(order)], [best[who] for who in order], rtol=1e-5)
    everybody = np.broadcast_to(np.arange(len(project.catalogue.individuals)), (len(labels), 14))
    counts = [[int((met[q] & (labels == who)).sum()) for who in range(14)] for q in range(len(labels))]
    assert query_set.photos_met(np.arange(len(labels)), everybody).tolist() == counts


def features_of(retriever: Retriever) -> CandidateFeatures:
    """All that the second stage knows of out-of-fold photos as they are, row by row."""
    query_set = retriever.out_of_fold()
    return CandidateTable(query_set, BLEND).out_of_fold(build_evaluation_set(query_set, Mix(None, None)))


@pytest.mark.parametrize("kind", ["none", "within"])
@pytest.mark.parametrize("row", [0, 9, 33])
def test_a_photos_own_label_changes_its_truth_and_nothing_else(
    small: Small, tmp_path: Path, kind: str, row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores, candidates, counts of photos, backgrounds: all that it is judged by is the same under another name."""
    # of three folds fewer than it asks for are left
    monkeypatch.setattr(postproc.transforms.whitening, "MIN_PAIRS", 20)
    # candidates that others make useless are left out by labels, and with them a little of the gallery's background
    monkeypatch.setattr(ensemble.retrieval.evidence, "prune", lambda evidence, *_: evidence)
    other = [*small.individuals]
    other[row] = "id02" if other[row] != "id02" else "id04"
    found = []
    for n, who in enumerate((small.individuals, other)):
        project = made(small, tmp_path / str(n), who)
        retriever = retriever_with(project, whitening=dict.fromkeys(("m0", "m1"), kind))
        query_set = retriever.out_of_fold()
        assert project.catalogue.individuals[query_set.truth[row]] == who[row]
        ranking, features = ranking_of(query_set, BLEND), features_of(retriever)
        # a background is told in the space of the photo's own fold, whose whitening has seen this fold's labels
        columns, query_columns = (
            [c for c, name in enumerate(names) if kind == "none" or "cohort" not in name]
            for names in (features.names, features.query_names)
        )
        told = features.candidate[..., columns], features.query[:, query_columns], features.individual
        found.append([ranking.individual, ranking.score, *told])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one[row], two[row], rtol=1e-6, atol=1e-9)
    # others do meet it under its new name
    assert not np.array_equal(found[0][0], found[1][0])


def test_no_photo_of_a_fold_shapes_the_background_of_others_that_the_fold_is_judged_by(
    small: Small, tmp_path: Path
) -> None:
    row = 3
    one, two = (made(small, tmp_path / str(n), changed=changed) for n, changed in enumerate((None, row)))
    before, after = (features_of(retriever_with(project)) for project in (one, two))
    columns = [n for n, name in enumerate(before.names) if name.startswith("cohort:")]
    assert len(columns) == 3
    folds, label = one.catalogue.folds, one.catalogue.labels[row]
    compared = 0
    for q in np.flatnonzero((folds == folds[row]) & (np.arange(len(folds)) != row)):
        for place, who in enumerate(before.individual[q].tolist()):
            again = np.flatnonzero(after.individual[q] == who)
            if who >= 0 and who != label and len(again):
                mine, theirs = before.candidate[q, place, columns], after.candidate[q, again[0], columns]
                np.testing.assert_allclose(mine, theirs, rtol=1e-6)
                compared += 1
    assert compared > 50
    others = np.flatnonzero(folds != folds[row])
    assert not np.array_equal(before.candidate[others], after.candidate[others])


def test_whitening_is_fitted_on_the_other_folds_though_photos_of_the_own_fold_are_met(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(small, tmp_path / "w")
    monkeypatch.setattr(postproc.transforms.whitening, "MIN_PAIRS", 20)
    fitted, of = [], KeptWhitening.of

    def noted(*given: object) -> KeptWhitening:
        fitted.append(given[2])
        return of(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(KeptWhitening, "of", noted)
    query_set = retriever_with(project, whitening={"m0": "within"}).out_of_fold()
    folds = project.catalogue.folds
    assert [np.asarray(rows).tolist() for rows in fitted] == [np.flatnonzero(folds != k).tolist() for k in range(3)]
    start = query_set.evidence.photo_start[query_set.evidence.group_start]
    met = query_set.evidence.photo[start[0] : start[1]]
    assert (folds[met] == folds[0]).any()


def test_a_fold_less_is_a_fold_less_but_for_the_own_individual(small: Small, tmp_path: Path) -> None:
    """What test's larger gallery changes is told by this: every list against sorting by hand."""
    project = made(small, tmp_path / "w")
    query_set = retriever_with(project, leave_out=FOLD).out_of_fold()
    labels, folds, score = project.catalogue.labels, project.catalogue.folds, cosines(project)
    lacking = (folds + 1) % 3
    ranking = _ranking_without(query_set, BLEND, lacking)
    for q in range(len(labels)):
        met = (folds != folds[q]) & ((folds != lacking[q]) | (labels == labels[q]))
        best = {who: score[q, met & (labels == who)].max() for who in set(labels[met].tolist())}
        order = sorted(best, key=lambda who: -best[who])[:7]
        assert ranking.individual[q, : len(order)].tolist() == order
        np.testing.assert_allclose(ranking.score[q, : len(order)], [best[who] for who in order], rtol=1e-5)


def test_evidence_of_one_rule_is_not_taken_for_the_other_s(small: Small, tmp_path: Path) -> None:
    project = made(small, tmp_path / "w")
    first = {rule: retriever_with(project, leave_out=rule).out_of_fold().evidence for rule in (ENCOUNTER, FOLD)}
    again = {rule: retriever_with(project, leave_out=rule).out_of_fold().evidence for rule in (FOLD, ENCOUNTER)}
    for rule in LEFT_OUT:
        np.testing.assert_array_equal(first[rule].photo, again[rule].photo)
    assert len(first[ENCOUNTER].photo) > len(first[FOLD].photo)
