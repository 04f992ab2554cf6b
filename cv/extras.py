"""Libraries that come with an extra: imported where they are used, refused with the line that installs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cv.errors import FinblendError


def install_line(extra: str) -> str:
    """What to type to have an extra.

    Examples
    --------
    >>> install_line("records")
    "pip install 'finblend[records]'"
    """
    return f"pip install 'finblend[{extra}]'"


def load_extra(name: str, extra: str) -> Any:
    """Import a module of an extra.

    Parameters
    ----------
    name : str
        The module's dotted name.
    extra : str
        The extra of finblend that brings it.

    Raises
    ------
    FinblendError
        If it, or a module that it needs, is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise FinblendError(
            f"{error.name or name} is needed here and is not installed; {install_line(extra)}"
        ) from None
