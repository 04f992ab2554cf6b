"""Engines: one contract for this process and for Ray's workers; workers that are killed; refusals in one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from engine_work import cluster, killed_always, killed_once, opened, refusing, squared, threads

from cv import FinblendError
from ensemble.engine import on_ray
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.engine.here import Here
from ensemble.engine.on_ray import OnRay


class EngineContract:
    """What every engine does."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    def test_results_come_in_the_order_of_the_items(self, engine: Engine, tmp_path: Path) -> None:
        results = list(engine.map(squared, range(8), name="squares", folder=tmp_path))
        assert [square for square, _ in results] == [n * n for n in range(8)]

    def test_no_item_is_no_result(self, engine: Engine, tmp_path: Path) -> None:
        assert list(engine.map(squared, [], name="squares", folder=tmp_path)) == []

    def test_all_progress_is_told_here(self, engine: Engine, tmp_path: Path) -> None:
        told: list[tuple[str, int, int]] = []
        work = engine.map(squared, range(8), name="squares", folder=tmp_path, progress=lambda *each: told.append(each))
        list(work)
        assert {(what, total) for what, _, total in told} == {("squares", 8)}
        assert sum(done for _, done, _ in told) == 8

    def test_a_refusal_is_the_same_line_wherever_it_happens(self, engine: Engine, tmp_path: Path) -> None:
        work = engine.map(refusing, range(4), name="refusing", folder=tmp_path)
        assert [next(work), next(work)] == [0, 1]
        with pytest.raises(FinblendError, match=r"^photo 2: is no photo$"):
            next(work)

    def test_paths_begin_where_the_driver_is(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        ((_, _, folder),) = engine.map(threads, [0], name="threads", folder=Path())
        assert folder == str(tmp_path)


class TestHere(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return Here()


class TestOnRay(EngineContract):
    @pytest.fixture
    def engine(self) -> OnRay:
        return cluster()

    def test_several_processes_work(self, engine: OnRay, tmp_path: Path) -> None:
        processes = {pid for _, pid in engine.map(squared, range(8), name="squares", folder=tmp_path)}
        assert len(processes) == 2
        assert os.getpid() not in processes

    def test_a_worker_has_the_threads_that_it_was_given(self, engine: OnRay, tmp_path: Path) -> None:
        for cpus in (1, 2):
            ((as_many, told, _),) = OnRay(engine.address, cpus).map(threads, [cpus], name="threads", folder=tmp_path)
            assert (as_many, told) == (True, str(cpus))

    def test_a_worker_that_is_killed_is_replaced(self, engine: OnRay, tmp_path: Path) -> None:
        items = [tmp_path / "a", tmp_path / "b"]
        processes = list(engine.map(killed_once, items, name="killed", folder=tmp_path))
        assert os.getpid() not in processes
        assert [item.read_text() for item in items] == ["done ", "done "]

    def test_work_that_kills_every_worker_is_given_up(
        self, engine: OnRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(on_ray, "RETRIES", 1)
        with pytest.raises(FinblendError, match=r"^deadly: its worker ended before its work did, 2 times"):
            list(engine.map(killed_always, [0], name="deadly", folder=tmp_path))

    def test_a_folder_that_workers_cannot_see_is_one_line(self, engine: OnRay, tmp_path: Path) -> None:
        with pytest.raises(FinblendError, match=r"absent: cannot be seen by a worker on .* storage that all machines"):
            list(engine.map(squared, [1], name="squares", folder=tmp_path / "absent"))

    def test_a_photo_that_workers_cannot_see_is_the_same_line(self, engine: OnRay, tmp_path: Path) -> None:
        with pytest.raises(FinblendError, match=r"gone.jpg: cannot be seen by a worker on .* and its photos"):
            list(engine.map(opened, [tmp_path / "gone.jpg"], name="photos", folder=tmp_path))

    def test_more_cpus_than_any_machine_has_are_refused(self, engine: OnRay, tmp_path: Path) -> None:
        with pytest.raises(FinblendError, match="no machine of the cluster has the 64 CPUs"):
            list(OnRay(engine.address, 64).map(squared, [1], name="squares", folder=tmp_path))


@pytest.mark.parametrize("name", ["", "spark", "ray:", "rayon", "Here"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(FinblendError, match=f"--engine must be here, ray or ray:ADDRESS, but got '{name}'"):
        engine_of(name)


def test_without_ray_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FinblendError, match=r"pip install 'finblend\[ray\]'"):
        engine_of("ray")


def test_an_item_gets_as_many_cpus_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert engine_of("ray:auto") == OnRay("auto", 3)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert engine_of("ray") == OnRay(None, 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "some")
    with pytest.raises(FinblendError, match="OMP_NUM_THREADS >= 1 must hold, but got 'some'"):
        engine_of("ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:99999", "nonsense"])
def test_an_address_where_nothing_is_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(FinblendError) as refusal:
        list(OnRay(address).map(squared, [1], name="squares", folder=Path()))
    assert str(refusal.value).startswith(f"--engine ray:{address}: cannot be reached (")
    assert "\n" not in str(refusal.value)
