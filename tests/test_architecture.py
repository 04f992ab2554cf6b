"""No import circle: a reader who follows imports downwards never comes back to a module that was left.

Imports for type checking alone are left out. Those inside functions count, too: they are there because a heavy library
is loaded where it is used, and a circle must not hide behind one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("cv", "backbones", "postproc", "ensemble")


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements below a node that are carried out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from statements(other, inside_functions)
        elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, inside_functions)


def import_graph(root: Path, packages: tuple[str, ...], inside_functions: bool) -> dict[str, set[str]]:
    """Each module with the modules that it imports by name; that `a.b` comes with `a` is Python's affair."""
    files = {module_name(path, root): path for package in packages for path in (root / package).rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        imported: set[str] = set()
        for statement in statements(ast.parse(path.read_text(encoding="utf-8")), inside_functions):
            if isinstance(statement, ast.Import):
                imported |= {alias.name for alias in statement.names}
            else:
                assert statement.level == 0, f"{path}: imports are absolute"
                origin = str(statement.module)
                names = {f"{origin}.{alias.name}" for alias in statement.names}
                # `from a import b` is the module a.b where there is one
                imported |= (names & files.keys()) | ({origin} if names - files.keys() else set())
        graph[module] = (imported & files.keys()) - {module}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, or nothing."""
    left: set[str] = set()

    def descend(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in left:
            return []
        for imported in sorted(graph[module]):
            found = descend(imported, [*trail, module])
            if found:
                return found
        left.add(module)
        return []

    return next((found for module in sorted(graph) if (found := descend(module, []))), [])


@pytest.mark.parametrize("inside_functions", [False, True], ids=["of modules", "of functions too"])
def test_there_is_no_import_circle(inside_functions: bool) -> None:
    graph = import_graph(ROOT, PACKAGES, inside_functions)
    assert len(graph) > 200
    assert circle(graph) == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "p" / "q").mkdir(parents=True)
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "q" / "__init__.py").write_text("from p.q.b import thing")
    (tmp_path / "p" / "a.py").write_text("from p import q")
    (tmp_path / "p" / "q" / "b.py").write_text("def late():\n    from p.a import other")
    assert circle(import_graph(tmp_path, ("p",), inside_functions=True)) == ["p.a", "p.q", "p.q.b", "p.a"]
    assert circle(import_graph(tmp_path, ("p",), inside_functions=False)) == []
    (tmp_path / "p" / "q" / "b.py").write_text("if TYPE_CHECKING:\n    from p.a import other")
    assert circle(import_graph(tmp_path, ("p",), inside_functions=True)) == []


def test_every_room_says_what_comes_in_what_goes_out_and_what_it_imports() -> None:
    rooms = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*/**/__init__.py"))]
    docstrings = {
        path.parent.relative_to(ROOT).as_posix(): ast.get_docstring(ast.parse(path.read_text())) for path in rooms
    }
    assert len(docstrings) > 30
    lengths = {room: len((text or "").splitlines()) for room, text in docstrings.items()}
    assert {room: n for room, n in lengths.items() if not 3 <= n <= 6} == {}
    assert [room for room, text in docstrings.items() if "mport" not in str(text)] == []
