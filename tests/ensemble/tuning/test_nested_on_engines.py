"""The nested score is the same whoever tunes its folds, and goes on after the folds that a killed call had done."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_work import KillingOnce, cluster

from cv.mix import Mix
from ensemble import Project, models
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE, Here
from ensemble.protocol.setup import Setup, read_setup
from ensemble.retrieval import blocks
from ensemble.tuning import nested
from ensemble.tuning.nested import nested_score
from ensemble.tuning.nested_parts import RECIPES
from ensemble.tuning.nested_result import NestedScore


def setup_of(project: Path) -> Setup:
    return read_setup(Project.open(project), Mix(0.15))


def scored(project: Path, engine: Engine = HERE, **options: Any) -> NestedScore:
    return nested_score(setup_of(project), **({"trials": 2, "engine": engine} | options))


def facts(score: NestedScore) -> tuple[Any, ...]:
    """All that is in a score, byte for byte."""
    return (
        {name: getattr(score, name).tobytes() for name in RECIPES},
        [asdict(each) for each in score.folds],
        score.width,
    )


@pytest.fixture
def other(project: Path, tmp_path: Path) -> Path:
    shutil.copytree(project, tmp_path / "Q")
    return tmp_path / "Q"


def test_workers_give_the_same_bytes_and_leave_nothing(project: Path, other: Path) -> None:
    told: dict[str, int] = {}

    def progress(what: str, done: int, total: int) -> None:
        told[what] = told.get(what, 0) + done

    here, there = scored(project), scored(other, cluster(), progress=progress)
    assert facts(here) == facts(there)
    # each fold's trials and starting points are told in one place
    assert told["nested trials"] == 5 * (2 + 5 + 1)
    assert not list((Project.open(other).cache / "nested").iterdir())


def entries(project: Path) -> dict[str, bytes]:
    """What is kept of all neighbours and of evidence, byte for byte."""
    cache = Project.open(project).cache
    kinds = ("nearest", "kin", "together", "evidence", "pruned")
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.glob("*/*.npy")
        if path.parent.name.split("-")[0] in kinds
    }


def test_neighbours_and_scores_are_the_same_though_a_worker_is_killed(
    project: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LEAST", 6)
    shutil.rmtree(project / "cache")
    shutil.rmtree(other / "cache")
    engine = cluster()
    there = models(other, engine=KillingOnce(engine.address, engine.cpus))
    assert (other / "killed").exists()
    assert there == models(project)
    assert entries(other) == entries(project) != {}
    assert not list((Project.open(other).cache / "lists").iterdir())


class Killed(Exception):
    """Stands for the end of the driver."""


class UntilFold(Here):
    """An engine whose driver ends before one of the items."""

    def map(self, work: Any, items: Any, **options: Any) -> Any:
        for item in items:
            if item[0] == 3:
                raise Killed
            yield work(item, None)


def test_a_call_that_was_killed_goes_on_after_its_folds(
    project: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scored(project)
    with pytest.raises(Killed):
        scored(other, UntilFold())
    tuned: list[int] = []
    inner = nested._tuned_without

    def counting(setup: Setup, fold: int, whitening: Mapping[str, str], *options: Any) -> Any:
        tuned.append(fold)
        return inner(setup, fold, whitening, *options)

    monkeypatch.setattr(nested, "_tuned_without", counting)
    assert facts(scored(other)) == facts(whole)
    assert tuned == [3, 4]
    # what is done is computed anew: nothing of it is left
    tuned.clear()
    assert facts(scored(other)) == facts(whole)
    assert tuned == [0, 1, 2, 3, 4]


def test_another_search_takes_no_fold_of_this_one_nor_a_part_that_was_cut_off(project: Path, other: Path) -> None:
    with pytest.raises(Killed):
        scored(other, UntilFold())
    (part,) = (Project.open(other).cache / "nested").glob("*/fold-1.npz")
    assert facts(scored(other, seed=1)) == facts(scored(project, seed=1))
    part.write_bytes(part.read_bytes()[:100])
    assert facts(scored(other)) == facts(scored(project))


def test_a_setup_comes_to_a_worker_as_what_it_is_made_of(project: Path) -> None:
    import pickle

    setup = setup_of(project)
    sent = pickle.dumps(setup)
    assert len(sent) < 20_000
    again = pickle.loads(sent)
    assert again.evaluation_set.weights.tobytes() == setup.evaluation_set.weights.tobytes()
    assert np.array_equal(
        again.evaluation_set.query_set.evidence.similarity, setup.evaluation_set.query_set.evidence.similarity
    )
