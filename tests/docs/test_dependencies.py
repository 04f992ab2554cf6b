"""The page of dependencies names all that pyproject asks for, with the versions that everything is tested with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

from doc_blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


def written(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(requirements: Iterable[str]) -> list[str]:
    names = [written(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements]
    return [name for name in names if name != "finblend"]


def tables() -> dict[str, list[list[str]]]:
    """Rows of each section of the page."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        found[section.splitlines()[0]] = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1:]]
    return found


def test_every_dependency_stands_in_its_extras_table() -> None:
    groups = {"always": PROJECT["dependencies"]} | PROJECT["optional-dependencies"]
    wanted = {group: asked_for(requirements) for group, requirements in groups.items()}
    assert {group: [row[0] for row in rows] for group, rows in tables().items()} == {
        group: names for group, names in wanted.items() if names
    }


def test_versions_are_those_of_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {written(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line and line[0] != "#"}
    for rows in tables().values():
        assert [row[1] for row in rows] == [pinned[row[0]] for row in rows]


def test_every_row_tells_a_licence_a_month_and_a_purpose() -> None:
    rows = [row for rows in tables().values() for row in rows]
    assert len(rows) > 40
    assert all(len(row) == 5 and all(row) and re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", row[3]) for row in rows)
    # what must be given away with its source is in no extra
    assert not [row for row in rows if re.search(r"\bA?GPL", row[2])]
