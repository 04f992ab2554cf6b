"""What the editors' and git's tool files ask for is what `make check` asks for."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from doc_blocks import ROOT


def recipe(makefile: str, target: str) -> list[str]:
    """The command lines of a target, with the environment's programs as they lie in the repository."""
    (lines,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.M)
    return [line.strip().replace("$(BIN)/", ".venv/bin/") for line in lines.splitlines()]


def test_commits_are_checked_by_what_make_check_runs_and_nothing_is_fetched() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert not any(hook["pass_filenames"] for hook in hooks)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [hook["entry"] for hook in hooks] == recipe(makefile, "check")


def test_make_format_mends_what_make_check_finds() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checks = [line.removesuffix(" .").removesuffix(" --check") for line in recipe(makefile, "check") if "ruff" in line]
    mends = [line.removesuffix(" .").removesuffix(" --fix") for line in recipe(makefile, "format")]
    assert mends == checks


def text_files() -> list[Path]:
    """What is written by hand and no formatter looks at."""
    loose = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".editorconfig")]
    return [*loose, ROOT / "pyproject.toml", ROOT / ".pre-commit-config.yaml", *(ROOT / "docs").rglob("*.md")]


def test_hand_written_files_keep_to_editorconfig() -> None:
    rules = (ROOT / ".editorconfig").read_text(encoding="utf-8")
    assert "trim_trailing_whitespace = true" in rules
    for path in text_files():
        text = path.read_bytes().decode("utf-8")
        assert text.endswith("\n"), path
        assert not re.search(r"[ \t]+$|\r", text, re.M), path
