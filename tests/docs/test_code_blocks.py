"""What README and the site tell to type can be typed: blocks run, commands and flags exist, and all are told."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, Scratch, blocks, pages, plain_commands, printed_as_shown, steps
from doc_scenes import scratch
from scenes import one_thread  # noqa: F401

sys.path.append(str(ROOT / "docs" / "_ext"))
from filled_pages import commands, commands_page, flags

COMMANDS = commands()
ALL_FLAGS = {flag for command in COMMANDS.values() for flag in flags(command)} | {"--help", "--version"}
# README has no marks: its blocks by their heading
README_NOT_RUN = {
    "Two commands": "make sets up an environment; every change's checks run both",
    "From photos": "it trains a network of hundreds of megabytes; the tutorial runs embed",
    "Four commands for your own embeddings": "run by the test of the README below, with less trials",
}
# lines that take long are run with less: fewer trials, smaller photos
FEWER = {
    "tune": " --trials 3 --nested-trials 2",
    "pseudo": " --trials 2",
    "embed": " --size 32 --workers 0 --precision float32",
    "match": " --keypoints 100 --shortlist 5 --workers 1",
}
PAGES = [page for page in pages() if any(block.language == "scene" for block in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, ran = None, 0
    for block in blocks(page):
        if block.language == "scene":
            folder = tmp_path / block.text
            place = Scratch(folder, scratch(block.text, folder))
            monkeypatch.syspath_prepend(folder)
        elif "not run" in block.marks or block.language not in {"console", "python", "toml", ""}:
            continue
        elif "file" in block.marks:
            assert place is not None, block.where
            place.write(block.marks["file"], block.text)
        elif block.language in {"console", "python"}:
            assert place is not None, f"{block.where} comes before the page's scene"
            run_block(block, place)
            ran += 1
    assert ran > 0


def run_block(block: Block, place: Scratch) -> None:
    if block.language == "python":
        place.python(block)
        return
    for command, shown in steps(block.text):
        name = f"{command} ".split(" ")[1] if command.startswith("finblend ") else ""
        status, printed = place.run(re.sub("  +#.*", "", command) + FEWER.get(name, ""))
        refused = any(line.startswith("finblend: ") and "warning" not in line for line in shown)
        assert (status != 0) == refused, f"{block.where}: $ {command}\n{printed}"
        told = [line for line in shown if not line.startswith("finblend: warning")]
        assert not shown or printed_as_shown(told, printed), f"{block.where}: $ {command} prints\n{printed}"


def test_the_tables_of_the_benchmarks_are_those_of_the_results() -> None:
    sys.path.append(str(ROOT))
    from benchmarks.speed.page import page

    runs = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == page(runs)


def anchors(page: Path) -> set[str]:
    """Headings of a page as links name them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    titles = [re.sub(r"[`*]", "", title).lower() for title in re.findall(r"^#+ (.+)$", text, re.M)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name) if name else page
        assert found.is_file(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


def test_every_page_stands_in_the_contents() -> None:
    docs = ROOT / "docs"
    listed = {
        (page.parent / name).relative_to(docs).as_posix()
        for page in docs.rglob("index.md")
        for toc in re.findall(r"```\{toctree\}(.*?)```", page.read_text(encoding="utf-8"), re.S)
        for name in toc.split()
        if ":" not in name
    }
    assert {page.relative_to(docs).with_suffix("").as_posix() for page in docs.rglob("*.md")} - {"index"} <= listed


def every_block() -> Iterator[Block]:
    for page in pages():
        yield from blocks(page)


def test_a_block_of_commands_is_run_or_says_why_not() -> None:
    """An indented block has no room for a mark, a page without a scene no folder to run in."""
    for block in every_block():
        if not plain_commands(block) or "not run" in block.marks:
            continue
        if block.page.name == "README.md" and block.language == "indented":
            assert block.heading in README_NOT_RUN, block.where
        else:
            assert block.language == "console", f"{block.where}: use a fenced block console"
            assert block.page in PAGES, f"{block.where}: no scene, and no mark 'not run: REASON'"


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    place = Scratch(tmp_path / "files", scratch("files", tmp_path / "files"))
    mine = [block for block in blocks(ROOT / "README.md") if block.heading == "Four commands for your own embeddings"]
    lines = [command for block in mine for command in plain_commands(block)]
    assert [line.split()[1] for line in lines] == ["init", "register", "tune", "submit"]
    for line in lines:
        each = [line.replace("--fold 0", f"--fold {k}").replace("fold0", f"fold{k}") for k in range(5)]
        for command in each if " register " in line else [line.replace("--trials 200", "--trials 3")]:
            status, printed = place.run(command)
            assert status == 0, f"{command}\n{printed}"
    (python,) = (block for block in mine if block.language == "python")
    again = Scratch(tmp_path / "python", scratch("files", tmp_path / "python"))
    again.python(Block(python.page, python.line, python.end, "python", python.text.replace("200", "3")))
    assert (tmp_path / "python" / "submission.csv").is_file()


def spoken(text: str) -> Iterator[str]:
    """Inline code of a page."""
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M)
    yield from (" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", outside))


def one_command(words: list[str]) -> list[str]:
    """The two words of a command in a group as one."""
    first = 1 if words[:1] == ["finblend"] else 0
    both = " ".join(words[first : first + 2])
    return [*words[:first], both, *words[first + 2 :]] if both in COMMANDS and " " in both else words


def wrong_words(line: str, where: str, strict: bool) -> list[str]:
    """What a line names that is not there: commands, flags, targets of make, scripts."""
    words = shlex.split(line.replace("'", " ").replace('"', " "), comments=True) if strict else line.split()
    words = one_command([word.rstrip(",;:") for word in words])
    typed = re.findall(r"(?<![\w-])(?:--[a-z][\w-]*|-[a-z](?![\w-]))", " ".join(words))
    if words[:1] == ["finblend"] and len(words) > 1 and words[1] != "COMMAND" and not words[1].startswith("-"):
        if words[1] not in COMMANDS:
            return [f"{where}: no command {words[1]}"]
        known = {*flags(COMMANDS[words[1]]), "--help"}
    elif words[0] in COMMANDS and len(words) > 1 and not strict:
        known = {*flags(COMMANDS[words[0]]), "--help"}
    elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        script = ROOT / f"{words[2].replace('.', '/')}.py"
        if not script.is_file():
            return [f"{where}: no script {words[2]}"]
        known = {"-m", *re.findall(r'"(--[a-z][\w-]*)"', script.read_text(encoding="utf-8"))}
    elif words[0] == "python" and len(words) > 1 and "/" in words[1]:
        return [] if (ROOT / words[1]).is_file() else [f"{where}: no script {words[1]}"]
    elif words[0] == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
        return [f"{where}: no make target {word}" for word in words[1:2] if word not in targets and "=" not in word]
    elif words[0] in {"finblend", "python", "pip", "head", "git", "cp"}:
        return []
    else:
        known = ALL_FLAGS | script_flags()
    return [f"{where}: {line}: no flag {flag}" for flag in typed if flag not in known]


def script_flags() -> set[str]:
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*/*.py"))
    return set(re.findall(r'"(--[a-z][\w-]*)"', scripts))


def test_every_command_and_flag_that_is_named_exists() -> None:
    wrong: list[str] = []
    for block in every_block():
        for command in plain_commands(block):
            body = re.sub(r"^for .*?; do (.*?); done$", r"\1", command)
            wrong += wrong_words(body, block.where, strict=True)
    for page in pages():
        for code in spoken(page.read_text(encoding="utf-8")):
            if code.strip():
                wrong += wrong_words(code, page.name, strict=False)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "strict"),
    [
        ("finblend tun P", True),
        ("finblend tune P --trails 3", True),
        ("tune --trails 3", False),
        ("--no-such", False),
        ("python -m benchmarks.accuracy.recipe --photoid FOLDER", True),
        ("python -m benchmarks.accuracy.recipes --photos FOLDER", True),
        ("python benchmarks/recipes.py --scale 1.0", True),
        ("make formats", True),
    ],
)
def test_what_does_not_exist_is_found(line: str, strict: bool) -> None:
    assert len(wrong_words(line, "a page", strict)) == 1


def test_every_command_stands_in_a_written_page_and_every_flag_in_the_reference() -> None:
    written = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    missing = [name for name in COMMANDS if not re.search(rf"\bfinblend {name}\b", written)]
    assert not missing, f"no page tells how to use {missing}"
    reference = commands_page()
    for name, command in COMMANDS.items():
        own = reference[reference.index(f"## {name}\n") :].split("\n## ")[0]
        for flag in flags(command):
            assert flag == "--help" or re.search(rf"(?<![\w-]){flag}(?![\w-])", own), (name, flag)
        assert "Example" not in own
        assert f"$ finblend {name}" in own


def test_numbers_may_differ_and_words_may_not() -> None:
    assert printed_as_shown(["MAP@5 0.7123, 12 photos"], "MAP@5 0.5,  3,400 photos\n")
    assert printed_as_shown(["first", "...", "last"], "first\nmore\nmore\nlast")
    assert printed_as_shown(["first", "...", "last"], "first\nlast")
    assert not printed_as_shown(["MAP@5 0.7123, 12 photos"], "MAP@5 0.7123, 12 images")
    assert not printed_as_shown(["first"], "first\nsecond")
    assert not printed_as_shown(["first", "..."], "second\nfirst")
