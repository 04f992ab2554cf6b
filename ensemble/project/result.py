"""What public functions return: frozen dataclasses that `--json` prints and that scripts may ask by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Any


class Result:
    """A result of a public function; a frozen dataclass inherits from it.

    Attributes are what mypy checks; `as_dict` is what `--json` prints, in the order of the fields; a key in square
    brackets gives the same values, as scripts have asked since results were plain dicts.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Scored(Result):
    ...     map5: float
    ...     folds: tuple[int, ...]
    >>> scored = Scored(0.5, (0, 1))
    >>> scored.map5, scored["folds"], scored.as_dict()
    (0.5, [0, 1], {'map5': 0.5, 'folds': [0, 1]})
    """

    def as_dict(self) -> dict[str, Any]:
        """Every field, its own results and dataclasses as dicts too: values that JSON knows."""
        return {key: self[key] for key in self.keys()}

    def keys(self) -> Iterator[str]:
        """The names of the values, so that `dict(result)` and `{**result}` work."""
        return iter(self._fields())

    __iter__ = keys

    def __contains__(self, key: object) -> bool:
        return key in self._fields()

    def get(self, key: str, default: Any = None) -> Any:
        """One value, or the default where there is none of that name."""
        return self[key] if key in self._fields() else default

    def __getitem__(self, key: str) -> Any:
        """One value as `as_dict` has it."""
        return plain(getattr(self, self._fields()[key]))

    def _fields(self) -> dict[str, str]:
        """The field of each key: of the same name, but where that is a word of Python (`named`)."""
        return {each.metadata.get("key", each.name): each.name for each in fields(self)}  # type: ignore[arg-type]


def named(key: str) -> Any:
    """A field whose key is a word of Python, such as `with`."""
    return field(metadata={"key": key})


def plain(value: Any) -> Any:
    """Results, dataclasses, mappings and sequences as dicts and lists, paths as text; anything else as it is."""
    if isinstance(value, Result):
        return value.as_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
