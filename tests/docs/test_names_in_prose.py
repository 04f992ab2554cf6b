"""What README, the pages and docstrings say of the code is there: functions, classes, files, words of the glossary."""

from __future__ import annotations

import re

import pytest
from doc_blocks import ROOT
from prose import defined, docstrings, imported, prose, wrong_names, wrong_types

GLOSSARY = ROOT / "docs" / "glossary.md"


def test_every_name_and_place_in_prose_is_there() -> None:
    wrong = [f"{where}: {name}" for where, text in prose() for name in wrong_names(text)]
    assert not wrong, "\n".join(wrong)


def test_prose_is_read_everywhere() -> None:
    places = {where for where, _ in prose()}
    assert {"README.md", "CONTRIBUTING.md", "docs/blending.md", "docs/glossary.md", "cv/mix.py: module"} <= places
    assert any(where.startswith("docs/decisions-record/") for where in places)


@pytest.mark.parametrize(
    "text",
    [
        "postproc.approximate_nothing",
        "cv.Mix.no_such_field",
        "`ensemble.tune` and ensemble.tuning.tune.tunes(folder)",
        "ensemble/tuning/tunes.py",
        "see tests/backbones/adapters/test_adaptors.py",
    ],
)
def test_a_planted_name_is_found(text: str) -> None:
    assert len(wrong_names(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ensemble.tune, cv.Mix.new_share and cv.mix.Mix(0.1)",
        "postproc.neighbours.search.top_k. Then more.",
        "backbones.store.Manifest.views",
        "finblend.backbones is a group of entry points",
        "ensemble/report/ and cv/mix.py, P/stores/b7/fold-1",
    ],
)
def test_what_is_there_is_left_alone(text: str) -> None:
    assert wrong_names(text) == []


def test_types_in_docstrings_are_classes_that_there_are() -> None:
    known = defined() | imported()
    wrong = [f"{where}: {kind}" for where, text in docstrings() for kind in wrong_types(text, known)]
    assert not wrong, "\n".join(wrong)


def test_a_planted_type_is_found() -> None:
    text = 'Parameters\n----------\nblend : Blend\nkind : {"Any"} or None\nplace : (n,) array of Nowhere, optional\n'
    assert wrong_types(text, frozenset({"Blend"})) == ["Nowhere"]


def glossary_rows(text: str) -> list[list[str]]:
    """The cells of every row of the glossary's tables that explains a word."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] != "word"]


def unknown_words(rows: list[list[str]]) -> list[str]:
    """Names in the last column, `in the code`, that nothing in the code has; of `Class.field` both are looked for."""
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row[-1])]
    return [name for name in named if not set(name.split(".")) <= defined()]


def test_every_word_of_the_glossary_that_is_code_is_there() -> None:
    rows = glossary_rows(GLOSSARY.read_text(encoding="utf-8"))
    assert len(rows) > 50
    assert unknown_words(rows) == []
    assert all(len(row) == 4 for row in rows), [row for row in rows if len(row) != 4]
    words = [row[0] for row in rows]
    assert len(set(words)) == len(words)
    assert {"MAP@5", "out-of-fold", "nested", "frozen", "fold", "mix", "gallery", "query", "blend"} <= set(words)


def test_a_planted_word_is_found() -> None:
    rows = glossary_rows("| word | what | from | in the code |\n|---|---|---|---|\n| a | b | c | `Blend`, `Desk` |\n")
    assert rows == [["a", "b", "c", "`Blend`, `Desk`"]]
    assert unknown_words(rows) == ["Desk"]
