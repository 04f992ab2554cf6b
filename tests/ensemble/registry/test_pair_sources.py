"""A project's pair sources: leaks by hand, what queries are told of them, and blends that name them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import add, few_candidates
from small import Small

from backbones.pair_store import Pairs, PairStore, write_pair_store
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from cv.left_out import FOLD, LEFT_OUT
from cv.mix import Mix
from ensemble import init
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.identification.candidate_table import CandidateTable
from ensemble.project.folder import Project
from ensemble.protocol.setup import read_setup, setup_of_blend
from ensemble.registry.pair_sources import is_leak, pair_contents, require_pair_sources
from ensemble.retrieval.query_set import QuerySet


def test_leaks_by_hand() -> None:
    """Folds 0 0 1 1 2; day1 is torn between folds 0 and 1, the photos without an encounter are of none."""
    frame = pl.DataFrame(
        {
            "image": list("abcde"),
            "split": ["train"] * 5,
            "fold": [0, 0, 1, 1, 2],
            "encounter": ["day1", None, "day1", None, "day2"],
        }
    )
    catalogue = Catalogue(frame)
    query, gallery = (side.ravel() for side in np.indices((5, 5)))
    expected = [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert is_leak(catalogue, query, gallery).reshape(5, 5).astype(int).tolist() == expected
    nothing = np.empty(0, dtype=np.int64)
    assert is_leak(catalogue, nothing, nothing).shape == (0,)
    # where no encounter is known, a photo is of one alone
    without = Catalogue(frame.with_columns(encounter=pl.lit(None)))
    assert is_leak(without, query, gallery).reshape(5, 5).tolist() == np.eye(5, dtype=bool).tolist()


def write_marks(project: Path, name: str = "marks", seed: int = 0) -> dict[str, np.ndarray]:
    """A pair source that has compared a third of all pairs, those within a fold too; (queries, gallery) scores."""
    opened, rng = Project.open(project), np.random.default_rng(seed)
    n_train, told, given = len(opened.catalogue.labels), {}, {}
    for split, n in (("train", n_train), ("test", opened.catalogue.test.height)):
        score = rng.integers(1, 100, (n, n_train)).astype(np.float32)
        score[rng.random(score.shape) < 2 / 3] = np.nan
        query, gallery = np.nonzero(~np.isnan(score))
        given[split] = Pairs(query=query, gallery=gallery, score=score[query, gallery])
        told[split] = score
    write_pair_store(opened.pair_folder(name), name, given, photos_sha256=opened.photos_hash, made={})
    return told


@pytest.fixture
def untuned(tmp_path: Path) -> Path:
    small = Small(tmp_path / "data")
    init(tmp_path / "U", train=small.train_csv, test=small.sample_csv, folds=3)
    add(tmp_path / "U", small, "m", 1)
    return tmp_path / "U"


def check_told(query_set: QuerySet, score: np.ndarray, met: np.ndarray) -> None:
    """Each query's candidates have what was said of them, and the best 32 that it may meet are among them."""
    evidence = query_set.evidence
    assert evidence.pairs is not None
    start = evidence.photo_start[evidence.group_start]
    for q in range(evidence.n_queries):
        photos = evidence.photo[start[q] : start[q + 1]]
        assert met[q, photos].all()
        np.testing.assert_array_equal(evidence.pairs[start[q] : start[q + 1], 0], score[q, photos])
        assert np.nanargmax(np.where(met[q], score[q], np.nan)) in photos
    assert np.isnan(evidence.pairs[:, 1]).all()
    assert np.isnan(evidence.pairs[:, 0]).any()


@pytest.mark.parametrize("leave_out", LEFT_OUT)
def test_queries_are_told_of_the_photos_that_they_meet_and_of_no_others(
    untuned: Path, monkeypatch: pytest.MonkeyPatch, leave_out: str
) -> None:
    few_candidates(monkeypatch)
    told = write_marks(untuned)
    project = Project.open(untuned)
    plain = read_setup(project, Mix(0.2, None), leave_out=leave_out)
    assert plain.evaluation_set.query_set.evidence.pairs is None
    assert plain.with_pairs(()) is plain
    stores = require_pair_sources(project)
    setup = plain.with_pairs(tuple(stores))
    assert setup.with_pairs(tuple(stores)) is setup
    query_set, folds = setup.evaluation_set.query_set, project.catalogue.folds
    assert query_set.pair_columns == ["marks", "marks/second"]
    np.testing.assert_array_equal(setup.evaluation_set.row, plain.evaluation_set.row)
    np.testing.assert_array_equal(setup.evaluation_set.weights, plain.evaluation_set.weights)
    # the file has pairs within a fold, and each photo with itself, but nobody is told of what he does not meet
    groups = folds if leave_out == FOLD else np.arange(len(folds))
    check_told(query_set, told["train"], groups[:, None] != groups)
    check_told(setup.retriever.of_test(), told["test"], np.ones(told["test"].shape, dtype=bool))
    # a blend that names the source is asked the same; what it has no second number of is no trait
    sources = pair_contents(stores)
    blend = Blend({"m": 1.0}, dict(setup.whitening), second_stage=True, pair_sources=sources, leave_out=leave_out)
    asked = setup_of_blend(project, blend, mix=Mix(0.2, None)).evaluation_set
    np.testing.assert_array_equal(asked.query_set.evidence.pairs, query_set.evidence.pairs)
    features = CandidateTable(asked.query_set, blend).out_of_fold(asked)
    assert {"best:marks", "known:best:marks", "cohort:marks"} <= set(features.names)
    assert not [name for name in features.names if "second:" not in name and name.endswith("/second")]
    assert features.own_say == 12
    # and the evidence without pairs is still what it was
    again = read_setup(project, Mix(0.2, None), leave_out=leave_out).evaluation_set.query_set.evidence
    assert again.pairs is None
    np.testing.assert_array_equal(again.photo, plain.evaluation_set.query_set.evidence.photo)


def test_pair_sources_that_are_not_there_or_of_other_photos_are_refused(untuned: Path) -> None:
    project = Project.open(untuned)
    assert require_pair_sources(project) == {}
    with pytest.raises(FinblendError, match=r"marks: is no pair source of .*; it has none"):
        require_pair_sources(project, ["marks"])
    write_marks(untuned, "b")
    write_marks(untuned, "a")
    assert list(require_pair_sources(project)) == ["a", "b"]
    assert list(require_pair_sources(project, ["b"])) == ["b"]
    assert require_pair_sources(project, []) == {}
    with pytest.raises(FinblendError, match=r"marks: is no pair source of .*; it has a, b$"):
        require_pair_sources(project, ["a", "marks"])
    pairs = PairStore(project.pair_folder("b")).pairs("train")
    given = {"train": pairs, "test": pairs}
    write_pair_store(project.pair_folder("b"), "b", given, photos_sha256="others", made={})
    with pytest.raises(FinblendError, match="b: was made for other photos"):
        require_pair_sources(project)
    assert list(require_pair_sources(project, ["a"])) == ["a"]


def test_a_blend_whose_pair_source_has_changed_answers_nothing(project: Path) -> None:
    opened = Project.open(project)
    write_marks(project)
    contents = pair_contents(require_pair_sources(opened))
    blend = replace(Blend.load(opened.blend_path), second_stage=True, pair_sources=contents)
    blend.save(opened.blend_path)
    assert tuned_blend(opened).pair_sources == contents
    # the same again is no change, other numbers are
    write_marks(project)
    assert tuned_blend(opened).pair_sources == contents
    write_marks(project, seed=1)
    with pytest.raises(FinblendError, match=r"blend\.json: marks was matched again after tuning; run 'finblend tune'"):
        tuned_blend(Project.open(project))
    replace(blend, pair_sources={"gone": "x"}).save(opened.blend_path)
    with pytest.raises(FinblendError, match=r"gone: is no pair source of .*; it has marks"):
        tuned_blend(opened)
