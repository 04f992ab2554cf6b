"""What the packages log is printed as a line on standard error while a command runs, and no longer."""

from __future__ import annotations

import logging

import pytest

from ensemble.cli import main

LOGGER = logging.getLogger("finblend")


def test_a_command_prints_what_is_logged_on_standard_error_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version() -> str:
        LOGGER.info("compiling %s", "loops")
        LOGGER.debug("nobody needs this")
        return "1"

    monkeypatch.setattr("ensemble.project.version.finblend_version", version)
    for _ in range(2):
        assert main(["--version"]) == 0
        assert capsys.readouterr() == ("finblend 1\n", "finblend: compiling loops\n")


def test_after_a_command_logging_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = LOGGER.level, list(LOGGER.handlers)
    assert main(["--nonsense"]) == 1
    assert (LOGGER.level, LOGGER.handlers) == before
    capsys.readouterr()
    LOGGER.info("compiling")
    assert capsys.readouterr().err == ""
