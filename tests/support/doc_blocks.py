"""Code blocks of README and the pages under docs: found, run in a scratch folder, their output compared.

A fenced block `console` is run line by line: `$ ` begins a command, what follows is what it prints (`...` stands for
any lines). A fenced block `python` is run too. A comment on the line above a block changes that:

    <!-- not run: REASON -->    its commands and flags are checked all the same
    <!-- file: NAME -->         the block is the content of the file NAME in the scratch folder
    <!-- scene: NAME -->        (anywhere) from here on blocks run in a new folder that doc_scenes.py prepares

What depends on the data (numbers, names, verdicts) is masked when output is compared: a page shows what was printed on
the data that it was written with. `python tests/support/doc_blocks.py docs/tutorial.md build/demo` runs a page in a
folder and writes into the page what is printed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*|\{[\w-]+\}) *$")
MARK = re.compile(r"^ *<!-- (not run|file|scene): (.+?) -->$")
LOOP = re.compile(r"for (\w+) in (.+?); do (.+); done")


@dataclass(frozen=True)
class Block:
    """One code block of a page, or a mark `scene`; `line` and `end` are its text's lines, counted from 0."""

    page: Path
    line: int
    end: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)
    heading: str = ""

    @property
    def where(self) -> str:
        """For messages: page and line as editors count."""
        return f"{self.page.name}:{self.line + 1}"


def pages() -> list[Path]:
    """README and every page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Fenced and indented code blocks in their order; a scene is a block of the language `scene`."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    marks: dict[str, str] = {}
    heading, at = "", 0
    while at < len(lines):
        line = lines[at]
        fence, mark = FENCE.match(line), MARK.match(line)
        if fence:
            end = at + 1
            while lines[end].strip() != "```":
                end += 1
            inside = "\n".join(text.removeprefix(fence[1]) for text in lines[at + 1 : end])
            found.append(Block(page, at + 1, end, fence[2], inside, marks, heading))
            marks, at = {}, end
        elif mark and mark[1] == "scene":
            found.append(Block(page, at, at, "scene", mark[2]))
        elif mark:
            marks[mark[1]] = mark[2]
        elif line.startswith("    ") and not lines[at - 1].strip():
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            inside = "\n".join(text.strip() for text in lines[at:end]).rstrip()
            found.append(Block(page, at, end, "indented", inside, marks, heading))
            marks, at = {}, end - 1
        elif line.strip():
            marks = {}
            heading = line.lstrip("# ") if line.startswith("#") else heading
        at += 1
    return found


def steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of a console block, continuation lines joined, each with the lines it is said to print."""
    command, shown = "", []
    open_line = False
    for line in text.splitlines():
        if open_line:
            command = command[:-1] + line.strip()
        elif line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
            continue
        open_line = command.endswith("\\")
    if command:
        yield command, shown


def plain_commands(block: Block) -> list[str]:
    """The command lines of a block, however it is written; none if it is something else."""
    if block.language == "console":
        return [command for command, _ in steps(block.text)]
    if block.language == "indented":
        joined = re.sub(r"\\\n *", "", block.text)
        return [
            line.split("     #")[0] for line in joined.splitlines() if re.match(r"(finblend|python|pip|make) ", line)
        ]
    return []


class Scratch:
    """A folder in which the blocks of a page run, one after the other.

    Parameters
    ----------
    folder : Path
    names : dict
        What python blocks find defined.
    """

    def __init__(self, folder: Path, names: dict[str, Any] | None = None) -> None:
        self.folder, self.names = folder, dict(names or {})

    def run(self, command: str) -> tuple[int, str]:
        """Exit status and everything printed, warnings left out; `finblend` runs in this process, which is quicker."""
        loop = LOOP.fullmatch(command)
        if loop:
            each = [self.run(loop[3].replace(f"${loop[1]}", value)) for value in loop[2].split()]
            return max(status for status, _ in each), "".join(text for _, text in each)
        with _inside(self.folder):
            if command.startswith("finblend ") and not set("|>$") & set(command):
                return _in_process(shlex.split(command, comments=True)[1:])
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-euc", command], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
            )
            return done.returncode, done.stdout + "\n".join(_without(done.stderr, "finblend: compiling "))

    def python(self, block: Block) -> None:
        """Run a python block; what it defines stays for the next."""
        with _inside(self.folder), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block.text, block.where, "exec"), self.names)

    def write(self, name: str, text: str) -> None:
        """Write a file; a pyproject.toml also announces its entry points, as installing it would."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
        if path.name == "pyproject.toml":
            _announce(self.folder, text)


def _in_process(arguments: list[str]) -> tuple[int, str]:
    from ensemble.cli import main

    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(arguments)
    lines = _without(error.getvalue(), "finblend: warning", "finblend: compiling ")
    return status, "\n".join([out.getvalue().rstrip("\n"), *lines])


def _without(text: str, *starts: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(starts)]


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _announce(folder: Path, text: str) -> None:
    import tomllib

    about = tomllib.loads(text)["project"]
    where = folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    where.mkdir()
    (where / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    doors = about["entry-points"].items()
    lines = [
        line for group, own in doors for line in (f"[{group}]", *(f"{name} = {door}" for name, door in own.items()))
    ]
    (where / "entry_points.txt").write_text("\n".join(lines) + "\n")


# what depends on the data: numbers, names of photos and animals, species, verdicts
VARIES = [
    (r"[-+]?\d[\d,]*(\.\d+)?(e-?\d+)?", "#"),
    (r"\b(beluga|[a-z]+_(whale|dolphin))\b", "SPECIES"),
    (r"\b[a-z]+#|\bnew_individual\b", "#"),
    (r",(auto|review|new),", ",BAND,"),
    (r",(?=,|$)", ",#"),
    (r"(?<= )(-|none|total|within)(?=\s|$)", "#"),
    (r"\b(better|worse|not clearly other) than", "VERDICT than"),
    (r"Second stage (not )?used", "Second stage"),
    (r"\brule [AB]\b", "rule #"),
    (r"^the blend without its second stage .*", ""),
]


def skeleton(text: str) -> list[str]:
    """Printed lines without what depends on the data and the width of columns; rows that then look alike are one."""
    found: list[str] = []
    for line in text.splitlines():
        for pattern, instead in VARIES:
            line = re.sub(pattern, instead, line)  # noqa: PLW2901
        words = " ".join(line.split())
        if words and words not in found[-1:]:
            found.append(words)
    return found


def printed_as_shown(shown: list[str], printed: str) -> bool:
    """Whether the lines of a page are those printed; a line `...` stands for any lines, within a line for any text."""
    pattern = ""
    for line in skeleton("\n".join(shown)):
        pattern += r"(?:[^\n]*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", r"[^\n]*") + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in skeleton(printed))) is not None


def refresh(page: Path, folder: Path) -> None:
    """Run a page's console blocks in a folder and write what they print into the page; blocks with `...` stay."""
    lines, scratch = page.read_text(encoding="utf-8").splitlines(), Scratch(folder)
    found = [block for block in blocks(page) if block.language != "scene" and "not run" not in block.marks]
    new: dict[int, list[str]] = {}
    for number, block in enumerate(found):
        if "file" in block.marks:
            scratch.write(block.marks["file"], block.text)
        elif block.language == "python":
            scratch.python(block)
        elif block.language == "console":
            kept = block.text.splitlines()
            text: list[str] = []
            for command, shown in steps(block.text):
                status, printed = scratch.run(command)
                print(f"$ {command}\n{printed}\n[{status}]", flush=True)  # noqa: T201
                start = next(i for i, line in enumerate(kept) if line.startswith("$ "))
                stop = next((i for i, line in enumerate(kept) if i > start and line.startswith("$ ")), len(kept))
                own, kept = kept[start:stop], kept[stop:]
                said = own[: len(own) - len(shown)]
                stays = any("..." in line for line in shown)
                text += [*said, *(shown if stays else [line.rstrip() for line in printed.strip("\n").splitlines()])]
            new[number] = text
    for number in sorted(new, reverse=True):
        lines[found[number].line : found[number].end] = new[number]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    refresh(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
