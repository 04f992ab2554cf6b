"""Names of the code that prose speaks of: in the pages, in README and CONTRIBUTING, in docstrings."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from doc_blocks import ROOT, pages

PACKAGES = ("ensemble", "backbones", "postproc", "cv")
# a room's name, then dots and names; not a part of another name, of a path or of an entry point's group
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
PLACE = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|benchmarks|tests|docs)/[\w/.-]*\w/?")
# `name : type` of numpydoc, and the words of a type that are classes
TYPED = re.compile(r"^ *[\w *,]+ : (.+)$", re.M)
CLASS = re.compile(r"(?<![\w.])[A-Z]\w*[a-z]\w*")
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_NOTHING = object()
FENCED = re.compile(r"^ *```.*?^ *```$", re.S | re.M)


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the four packages and of the benchmarks: its path in the repository, and what it holds."""
    for folder in (*PACKAGES, "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring with the place of what it describes."""
    for place, module in sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{place}: {getattr(node, 'name', 'module')}", text


def written_pages() -> list[Path]:
    """README, the pages of the site, and how to contribute; not CHANGELOG, which tells of what was."""
    return [*pages(), ROOT / "CONTRIBUTING.md"]


def prose() -> Iterator[tuple[str, str]]:
    """Everything that speaks of the code: code between backticks of each page, and docstrings."""
    for page in written_pages():
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        yield page.relative_to(ROOT).as_posix(), "\n".join(INLINE.findall(text))
    yield from docstrings()


def wrong_names(text: str) -> list[str]:
    """Dotted names that lead nowhere, and files and folders that are not there."""
    dotted = [name for name in DOTTED.findall(text) if not resolves(name)]
    return dotted + [place for place in PLACE.findall(text) if not (ROOT / place).exists()]


@cache
def resolves(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something that one holds."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        return all((thing := _inside(thing, part)) is not _NOTHING for part in parts[depth:])
    return False


def _inside(thing: Any, part: str) -> Any:
    """An attribute; of a dataclass also a field without a default, which only its objects have."""
    if isinstance(thing, type) and is_dataclass(thing) and part in {field.name for field in fields(thing)}:
        return getattr(thing, part, thing)
    return getattr(thing, part, _NOTHING)


def wrong_types(docstring: str, known: frozenset[str]) -> list[str]:
    """Classes that a docstring gives as types and that neither Python nor `known` has."""
    types = (re.sub(r'"[^"]*"|\{[^}]*\}', "", kind) for kind in TYPED.findall(docstring))
    return [word for kind in types for word in CLASS.findall(kind) if word not in known and not hasattr(builtins, word)]


@cache
def imported() -> frozenset[str]:
    """Names that the code takes from elsewhere."""
    nodes = (node for _, module in sources() for node in ast.walk(module) if isinstance(node, ast.ImportFrom))
    return frozenset(alias.asname or alias.name for node in nodes for alias in node.names)


@cache
def defined() -> frozenset[str]:
    """Names of all modules, classes, functions, methods, and of what modules and classes assign."""
    names: set[str] = set()
    for place, module in sources():
        names.add(Path(place).stem)
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            if isinstance(node, ast.Module | ast.ClassDef):
                names |= {target.id for target in _targets(node) if isinstance(target, ast.Name)}
    return frozenset(names)


def _targets(node: ast.Module | ast.ClassDef) -> Iterator[ast.expr]:
    for line in node.body:
        if isinstance(line, ast.Assign):
            for target in line.targets:
                yield from target.elts if isinstance(target, ast.Tuple) else [target]
        elif isinstance(line, ast.AnnAssign):
            yield line.target
