"""The study's journal opens in optuna-dashboard, which is asked here as a browser asks it, without a socket."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from ensemble import Project
from ensemble.blend.load import tuned_blend
from ensemble.protocol.setup import setup_of_blend
from ensemble.tuning.study import scores_so_far


def test_the_journal_opens_in_the_dashboard(tuned_template: Path) -> None:
    optuna_dashboard = pytest.importorskip("optuna_dashboard")
    import optuna

    project = Project.open(tuned_template)
    before = project.study_path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # a path alone, as `optuna-dashboard P/study.journal` is typed
        app = optuna_dashboard.wsgi(str(project.study_path))

    def ask(path: str) -> Any:
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.url_scheme": "http"}
        request |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
        streams = {"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}
        told: list[str] = []
        body = b"".join(app({**request, **streams}, lambda status, _headers, _error=None: told.append(status)))
        assert told == ["200 OK"], (path, body)
        return body

    (summary,) = json.loads(ask("/api/studies"))["study_summaries"]
    assert summary["directions"] == ["maximize"]
    study = json.loads(ask(f"/api/studies/{summary['study_id']}"))
    values = [trial["values"][0] for trial in study["trials"] if trial["state"] == "Complete"]
    assert values == scores_so_far(setup_of_blend(project, tuned_blend(project)))
    assert {param["name"] for param in study["union_search_space"]} >= {"top_photos"}
    assert b"<html" in ask("/dashboard").lower()
    assert project.study_path.read_bytes() == before
