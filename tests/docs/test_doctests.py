"""Every example in a docstring of the four packages shows what it says it shows."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("cv", "backbones", "postproc", "ensemble")


def modules_with_examples(package: str) -> Iterator[str]:
    """Modules of a package that hold a doctest; they are found without being imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    if ">>> " in Path(spec.origin).read_text(encoding="utf-8"):
        yield package
    for folder in spec.submodule_search_locations or []:
        for found in pkgutil.iter_modules([folder]):
            name = f"{package}.{found.name}"
            if found.ispkg:
                yield from modules_with_examples(name)
            elif ">>> " in Path(folder, f"{found.name}.py").read_text(encoding="utf-8"):
                yield name


MODULES = [module for package in PACKAGES for module in modules_with_examples(package)]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_show_what_they_say(module: str) -> None:
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_examples_are_found_where_they_are_known_to_be() -> None:
    assert {
        "cv.metrics",
        "cv.folds",
        "cv.mix",
        "postproc.neighbours.search",
        "postproc.ranking.ranking",
        "postproc.ranking.decision",
    } <= set(MODULES)
