"""Pages that are filled while the site is built: the command reference and the reference of the four packages.

A page holds a line `<!-- fill: commands -->` or `<!-- fill: package NAME -->`; on GitHub, and in the repository, it
stays as it is.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

FILL = re.compile(r"<!-- fill: (\w+)(?: (\w+))? -->")


def commands_page() -> str:
    """Every command of the program with its help, arguments and options, as Markdown."""
    return "\n".join(_command(name, command) for name, command in commands().items())


def commands() -> dict[str, Any]:
    """The program's commands in the order of `finblend --help`; one of a group goes by both words."""
    from ensemble.cli.program import program

    return {
        " ".join(words): command
        for name, top in program().commands.items()
        for words, command in (
            [((name, inner), each) for inner, each in top.commands.items()]
            if hasattr(top, "commands")
            else [((name,), top)]
        )
    }


def flags(command: Any) -> list[str]:
    """Every flag of a command, as it is typed."""
    return [flag for parameter in command.params if _is_option(parameter) for flag in _typed(parameter)]


def _typed(parameter: Any) -> list[str]:
    """Ways of typing it, the one that turns it off among them."""
    return [*parameter.opts, *parameter.secondary_opts]


def _is_option(parameter: Any) -> bool:
    return parameter.param_type_name == "option"


def _command(name: str, command: Any) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    told = "\n\n".join(_paragraph(" ".join(text.split())) for text in paragraphs)
    places = [p.metavar or p.name.upper() for p in command.params if not _is_option(p)]
    lines = [f"## {name}", "", f"`finblend {' '.join([name, *places, '[OPTIONS]'])}`", "", told, ""]
    lines += ["| argument or flag | default | what |", "|---|---|---|"]
    lines += [_row(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join([*lines, ""])


def _paragraph(text: str) -> str:
    head, found, example = text.partition("Example: ")
    return f"{_safe(head)}\n\n```console\n$ {example}\n```" if found else _safe(text)


def _row(parameter: Any) -> str:
    metavar = parameter.metavar or ("" if getattr(parameter, "is_flag", False) else "VALUE")
    if _is_option(parameter):
        typed = f"`{', '.join(sorted(_typed(parameter), key=len))}{f' {metavar}' if metavar else ''}`"
    else:
        typed = f"`{metavar}`"
    default = "required" if parameter.required else _default(parameter)
    many = " May be repeated." if getattr(parameter, "multiple", False) else ""
    return f"| {typed.replace('|', chr(92) + '|')} | {default} | {_safe(getattr(parameter, 'help', '') or '')}{many} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value is None or value is False or value in ("", [], ()) or callable(value) else f"`{value}`"


def _safe(text: str) -> str:
    """Help is plain text: nothing in it is markup."""
    return re.sub(r"([\\`*_\[\]<>|{}$~])", r"\\\1", text)


def package_page(package: str) -> str:
    """The public names of a package, from its `__all__` and their docstrings, as reStructuredText inside Markdown."""
    module = importlib.import_module(package)
    entries: list[str] = []
    own = [name for name in module.__all__ if _at_home(getattr(module, name), package)]
    for name in own:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            entries += [f".. autoclass:: {package}.{name}", "   :members:", ""]
        elif callable(thing):
            entries += [f".. autofunction:: {package}.{name}", ""]
        else:
            entries += [f".. py:data:: {package}.{name}", f"   :value: {_short(thing)}", ""]
    called = [name for name in own if callable(getattr(module, name))]
    table = [".. autosummary::", "", *(f"   {package}.{name}" for name in called)]
    return "\n".join(["```{eval-rst}", *table, "", *entries, "```"])


def _at_home(thing: Any, package: str) -> bool:
    """Whether a name is this package's own; one handed on has its entry where it is from."""
    return str(getattr(thing, "__module__", package)).split(".")[0] == package


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def fill(text: str) -> str:
    """A page with what its mark asks for."""

    def what(found: re.Match[str]) -> str:
        kind, name = found.groups()
        return commands_page() if kind == "commands" else package_page(name)

    return FILL.sub(what, text)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", lambda _app, _name, source: source.__setitem__(0, fill(source[0])))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
