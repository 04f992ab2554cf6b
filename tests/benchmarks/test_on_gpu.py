"""The script for the day a GPU is there: its dry run goes through all of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# behind the installed packages
sys.path.append(str(Path(__file__).parents[2]))


def test_a_dry_run_checks_and_measures_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("PIL")
    from benchmarks.speed.on_gpu import main

    assert main(["--dry-run", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["same"]) == 7
    assert all(found["same"].values())
    for name in ("nearest", "catalogue"):
        assert found["rate"][name]["share_of_product"] > 0
    assert found["embedding"]["share_of_decoding"] > 0
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[0]) == found
    assert "dry run: nothing is measured" in printed[1]


def test_without_time_parts_are_left_out_and_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from benchmarks.speed.on_gpu import main

    assert main(["--dry-run", "--budget", "0"]) == 1
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert set(found["same"].values()) == {"left out: no time"}


def test_without_a_gpu_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is a GPU")
    from benchmarks.speed.on_gpu import main

    assert main([]) == 1
    assert capsys.readouterr().err.startswith("on_gpu: torch finds no NVIDIA GPU here; --dry-run")
