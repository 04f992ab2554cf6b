"""What is imported when: help answers at once, and the light packages load no heavy library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "numpy",
    "torch",
    "numba",
    "polars",
    "optuna",
    "pyarrow",
    "pandas",
    "scipy",
    "sklearn",
    "safetensors",
    "PIL",
    "timm",
}


def imported(arguments: list[str]) -> set[str]:
    """Top-level packages that a run of Python imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Traceback" not in found.stderr
    names = (line.rsplit("|", 1)[1].strip() for line in found.stderr.splitlines() if line.startswith("import time:"))
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("arguments", [["--help"], ["tune", "--help"], ["embed", "--help"], ["train", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    found = imported([str(Path(sys.executable).with_name("finblend")), *arguments])
    assert "ensemble" in found
    assert "typer" in found
    assert not found & HEAVY, sorted(found & HEAVY)


def test_ensemble_alone_is_light() -> None:
    found = imported(["-c", "import ensemble"])
    assert "ensemble" in found
    assert not found & HEAVY, sorted(found & HEAVY)


def test_the_packages_load_no_torch(tmp_path: Path) -> None:
    """A decoy stands where torch would be, so that the test can fail on a machine without it."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ensemble, postproc, cv\n"
        "[getattr(ensemble, name) for name in ensemble.__all__]\n"
        "import ensemble.tuning.tune, ensemble.outputs.export, ensemble.demo.demo, ensemble.cli.program\n"
        "ensemble.cli.program.program()\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split()) == (0, ["False", "True"]), found.stderr


def test_the_decoy_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')\n")
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import torch", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_the_front_door_has_a_name_a_command_and_each_opens() -> None:
    import ensemble

    assert 8 <= len(ensemble.__all__) <= 24
    for name in ensemble.__all__:
        assert getattr(ensemble, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'tuna'"):
        _ = ensemble.tuna  # type: ignore[attr-defined]
