"""Doors: names that installed distributions provide by entry points, finblend's own among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cv.errors import FinblendError, shown

# names that a refusal suggests, at most
MEANT = 3


@dataclass(frozen=True, kw_only=True)
class Doors:
    """One group of entry points, and how refusals speak of it.

    Attributes
    ----------
    group : str
        Of entry points.
    option : str
        The option that names come from, such as `--backbone`.
    noun : str
        What stands behind a name.
    page : str
        Where all names are told.
    """

    group: str
    option: str
    noun: str
    page: str

    def names(self) -> list[str]:
        """Every name that is provided, in order."""
        return sorted({door.name for door in entry_points(group=self.group)})

    def provider_of(self, name: str) -> str:
        """The installed package, with its version, that provides a name."""
        distribution = self.find(name).dist
        return "" if distribution is None else f"{distribution.name} {distribution.version}"

    def find(self, name: str, near: Callable[[str], list[str]] | None = None) -> EntryPoint:
        """The door behind a name; finblend's own where others provide it, too.

        Parameters
        ----------
        name : str
            `NAME` or `NAME:ARGUMENT`.
        near : callable, optional
            Names that were meant, perhaps; by default those spelt alike.

        Raises
        ------
        FinblendError
            If nobody provides the name, or several do.
        """
        family = name.partition(":")[0]
        doors = {door.value: door for door in entry_points(group=self.group, name=family)}
        if not doors:
            meant = (near or self.near)(name)
            hint = f"did you mean {' or '.join(meant)}?" if meant else f"there are {shown(self.names(), 4)};"
            raise FinblendError(f"{self.option} {name}: no such {self.noun}; {hint} {self.page} lists them all")
        built_in = [door for value, door in doors.items() if value.startswith("backbones.")]
        if len(doors) > 1 and not built_in:
            raise FinblendError(f"{self.option} {family}: several installed packages provide it: {shown(doors)}")
        return built_in[0] if built_in else next(iter(doors.values()))

    def near(self, name: str) -> list[str]:
        """Names spelt alike, each with the argument that was given."""
        family, colon, argument = name.partition(":")
        return [f"{near}{colon}{argument}" for near in get_close_matches(family, self.names(), MEANT)]

    def open(self, name: str, install: str, near: Callable[[str], list[str]] | None = None) -> tuple[str, Any]:
        """What the door behind a name leads to, and where that stands.

        Parameters
        ----------
        name : str
        install : str
            What installs the libraries that finblend's own need, for the refusal.
        near : callable, optional
            See `find`.

        Raises
        ------
        FinblendError
            If nobody provides the name, or what it needs is not installed.
        """
        door = self.find(name, near)
        try:
            return door.value, door.load()
        except ModuleNotFoundError as error:
            hint = f"; {install}" if door.value.startswith("backbones.") else f", which {door.value} needs"
            raise FinblendError(f"{self.option} {name}: {error}{hint}") from None
        except (ImportError, AttributeError) as error:
            raise FinblendError(f"{self.option} {name}: {door.value} cannot be loaded ({error})") from None
