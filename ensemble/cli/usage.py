"""Wrong usage of the command line, in one line."""

from __future__ import annotations

_WANTED = {"int": "no whole number", "float": "no number"}


def format_usage_error(error: Exception) -> str:
    """What is wrong with a command line.

    Newer typers parse numbers with pydantic, whose words name no value; click's own do.

    Parameters
    ----------
    error : Exception
        A `ClickException`, click's or the one that newer typers carry inside themselves.
    """
    message = str(getattr(error, "format_message", error.__str__)())
    if type(error).__name__ == "MissingParameter":
        context = getattr(error, "ctx", None)
        return message if context is None else f"{message.rstrip('.')}; see '{context.command_path} --help'"
    parameter, details = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if "unexpected extra argument" in message and ".tfrec" in message:
        return f"{message}; quote a pattern, or the shell takes it apart: 'records/*.tfrec'"
    if parameter is None or details is None:
        return message
    first = details()[0]
    wanted = _WANTED.get(str(first["type"]).partition("_")[0])
    return message if wanted is None else f"{max(parameter.opts, key=len)}: '{first['input']}' is {wanted}"
