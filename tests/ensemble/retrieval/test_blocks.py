"""Neighbours that are searched block by block, wherever, are those of one pass; a killed search goes on."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import add, add_trained, few_candidates
from retrievals import retriever_with
from small import Small

import ensemble.retrieval.blocks
from cv.left_out import ENCOUNTER, FOLD
from ensemble import init, merge
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE, Here
from ensemble.project.progress import Progress
from ensemble.retrieval.query_set import QuerySet

# of 60 train photos in one pass: 7, 8, 7, 8, 7, 8, 7, 8; of 12 test photos one block is one pass
LEAST = 7
TRAIN_BLOCKS = 8
# an engine with workers, though they are this process
WORKERS = Here(cpus=1)


@pytest.fixture
def world(tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch) -> Path:
    few_candidates(monkeypatch, 6)
    monkeypatch.setattr(ensemble.retrieval.blocks, "LEAST", LEAST)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(["a", "b"]):
        add(tmp_path / "P", small, name, seed + 1, noise=4.0)
    return tmp_path / "P"


def asked(project: Path, engine: Engine = HERE, progress: Progress | None = None, **options: Any) -> list[QuerySet]:
    """Both query sets, in a project of their own."""
    copy = project.parent / f"Q{len(list(project.parent.iterdir()))}"
    shutil.copytree(project, copy)
    return asked_there(copy, engine, progress, **options)


def asked_there(
    project: Path, engine: Engine = HERE, progress: Progress | None = None, **options: Any
) -> list[QuerySet]:
    retriever = dataclasses.replace(retriever_with(project, **options), engine=engine, progress=progress)
    return [retriever.out_of_fold(), retriever.of_test()]


def facts(query_sets: list[QuerySet]) -> list[Any]:
    """All that they hold, byte for byte, and every list that is kept."""
    kept: dict[str, bytes] = {}
    for path in sorted(query_sets[0].project.cache.rglob("*.npy")):
        if path.parent.name.startswith(("nearest-", "kin-", "together-")):
            kept[str(path.relative_to(query_sets[0].project.cache))] = path.read_bytes()
    assert kept
    found = [
        ({name: array.tobytes() for name, array in each.evidence.arrays().items()}, each.species.mismatch.tobytes())
        for each in query_sets
    ]
    return [found, kept]


def searched(patch: pytest.MonkeyPatch) -> list[int]:
    """Queries of each block, as they are searched."""
    inner, sizes = ensemble.retrieval.blocks.search_lists, list[int]()

    def counting(*given: Any, query_rows: np.ndarray, **options: Any) -> Any:
        sizes.append(len(query_rows))
        return inner(*given, query_rows=query_rows, **options)

    patch.setattr(ensemble.retrieval.blocks, "search_lists", counting)
    return sizes


@pytest.mark.parametrize("leave_out", [ENCOUNTER, FOLD])
def test_frozen_models_in_one_pass(world: Path, leave_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, int] = {}

    def progress(what: str, done: int, _total: int) -> None:
        told[what] = told.get(what, 0) + done

    sizes = searched(monkeypatch)
    found = asked(world, WORKERS, progress, leave_out=leave_out)
    assert sizes == [7, 8] * 4
    assert told["search train"] == 60
    assert facts(found) == facts(asked(world, leave_out=leave_out))
    assert not list((found[0].project.cache / "lists").iterdir())


@pytest.mark.parametrize("kind", ["none", "within"])
def test_whitened_models_and_one_that_was_trained_per_fold(
    world: Path, small: Small, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces that live in files while they are used, of several parts and views."""
    monkeypatch.setattr("ensemble.retrieval.whitening.SMALL", 0)
    monkeypatch.setattr("postproc.transforms.whitening.MIN_PAIRS", 20)
    monkeypatch.setattr(ensemble.retrieval.blocks, "LEAST", 4)
    add_trained(world, small, "c", 3, noise=4.0, views=["orig", "hflip"] if kind == "none" else ["orig"])
    sizes = searched(monkeypatch)
    options: dict[str, Any] = {"whitening": {"a": kind, "c": kind}, "leave_out": FOLD}
    found = asked(world, WORKERS, **options)
    assert sum(sizes) == 60 + 12
    assert facts(found) == facts(asked(world, **options))


def test_test_photos_in_the_gallery_do_not_meet_themselves(
    project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(project, sets, kind="gallery", force=True)
    shutil.rmtree(project / "cache")
    monkeypatch.setattr(ensemble.retrieval.blocks, "LEAST", 4)
    sizes = searched(monkeypatch)
    found = asked(project, WORKERS)
    assert sum(sizes) == 60 + 12
    assert facts(found) == facts(asked(project))


class Killed(Exception):
    """Stands for the end of the driver."""


class UntilBlock(Here):
    """An engine whose driver ends before its fourth item."""

    def map(self, work: Any, items: Any, **options: Any) -> Any:
        for n, item in enumerate(items):
            if n == 3:
                raise Killed
            yield work(item, None)


def test_a_search_that_was_killed_goes_on_after_its_blocks(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = facts(asked(world))
    with pytest.raises(Killed):
        asked_there(world, UntilBlock(cpus=1))
    (folder,) = (world / "cache" / "lists").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["0-7.npz", "15-22.npz", "7-15.npz"]
    # one that was cut off is searched again
    (folder / "7-15.npz").write_bytes((folder / "7-15.npz").read_bytes()[:100])
    sizes = searched(monkeypatch)
    assert facts(asked_there(world, WORKERS)) == whole
    assert sizes == [8, 8, 7, 8, 7, 8]
    assert not list((world / "cache" / "lists").iterdir())


def test_blocks_are_there_until_evidence_is(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = facts(asked(world))
    with monkeypatch.context() as patch:
        patch.setattr("ensemble.retrieval.evidence._whole_evidence", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            asked_there(world, WORKERS)
    sizes = searched(monkeypatch)
    assert facts(asked_there(world, WORKERS)) == whole
    assert sizes == []


def test_what_drivers_that_were_killed_have_left_goes_after_a_day(world: Path) -> None:
    lists = world / "cache" / "lists"
    for name in ("old", "new"):
        (lists / name).mkdir(parents=True)
    os.utime(lists / "old", (1e9, 1e9))
    asked_there(world, WORKERS)
    assert [path.name for path in lists.iterdir()] == ["new"]


def test_an_index_is_made_once_so_approximate_lists_have_no_blocks(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(ensemble.retrieval.blocks.Blocks, "search", lambda *_: pytest.fail("in blocks"))
    retriever = dataclasses.replace(retriever_with(world), engine=WORKERS, neighbours="approximate")
    assert len(retriever.out_of_fold().images) > 2 * LEAST
