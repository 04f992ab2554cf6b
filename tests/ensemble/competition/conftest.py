"""A stand-in for Kaggle, and a user with a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kaggle_stand_in import TOKEN, Kaggle, kaggle_server


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """The server, asked by Kaggle's own client from a home of its own, with no pauses between tries."""
    environment = pytest.importorskip("kagglesdk.kaggle_env")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    monkeypatch.setattr("ensemble.competition.transfer.PAUSE", 0.0)
    monkeypatch.setattr("ensemble.competition.sending.PAUSE", 0.0)
    monkeypatch.setattr("ensemble.competition.submit.LOOK", 0.01)
    with kaggle_server(Kaggle()) as served:
        monkeypatch.setitem(environment._env_to_endpoint, environment.KaggleEnv.TEST, served.address)
        yield served
