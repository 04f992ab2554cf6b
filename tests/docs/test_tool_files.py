"""What the editors' and git's tool files ask for is what `make check` asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
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


def drawn_floors(page: str, package: str) -> list[str]:
    """The floors of a package as docs/architecture.md draws them, from top to bottom."""
    (block,) = re.findall(rf"<!-- floors: {package} -->\n```\n(.*?)```", page, re.S)
    return [re.split(r"  +", line)[0] for line in block.splitlines()]


def test_the_rooms_that_are_drawn_are_those_that_import_linter_holds() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = tools["importlinter"]["contracts"]
    floors = {contract["containers"][0]: contract["layers"] for contract in contracts if "containers" in contract}
    assert set(floors) == {"ensemble", "postproc"}
    for package, layers in floors.items():
        assert drawn_floors(page, package) == layers
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert rooms == {room for layer in layers for room in layer.split(" | ")}


def test_the_main_road_that_is_drawn_is_no_longer_than_fifteen_modules() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    road = re.findall(r"^\| (\d+) \| `([\w/]+\.py)` \|", page, re.M)
    assert [int(number) for number, _ in road] == list(range(1, len(road) + 1))
    assert 10 <= len(road) <= 15
    assert len({module for _, module in road}) == len(road)
    assert all((ROOT / module).is_file() for _, module in road)


RECORDS = sorted(path for path in (ROOT / "docs" / "decisions-record").glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_record_is_short_and_says_what_would_change_it(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    parts = re.findall(r"^\*\*(.+?)\.\*\*", text, re.M)
    assert parts[:3] == ["What was known", "The choice", "What follows"]
    assert parts[-1] == "What would change our mind"
    assert len(text.splitlines()) <= 30
