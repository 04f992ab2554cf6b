"""Results: attributes for programs, keys for scripts, plain values for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest

from cv.mix import Mix
from ensemble.project.result import Result, named, plain


@dataclass(frozen=True)
class Inner(Result):
    map5: float
    among: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer(Result):
    before: float = named("without")
    after: float = named("with")
    inner: Inner | None
    each: Mapping[str, Inner]
    listed: list[Inner]
    mix: Mix
    place: Path


OUTER = Outer(
    before=0.1,
    after=0.2,
    inner=Inner(0.5, (1, 2)),
    each={"a": Inner(0.25)},
    listed=[Inner(0.75)],
    mix=Mix(0.1, None),
    place=Path("a") / "b.csv",
)
TOLD: dict[str, Any] = {
    "without": 0.1,
    "with": 0.2,
    "inner": {"map5": 0.5, "among": [1, 2]},
    "each": {"a": {"map5": 0.25, "among": []}},
    "listed": [{"map5": 0.75, "among": []}],
    "mix": {"new_share": 0.1, "gallery_exponent": None},
    "place": str(Path("a") / "b.csv"),
}


def test_as_dict_holds_plain_values_in_the_order_of_the_fields() -> None:
    assert OUTER.as_dict() == TOLD
    assert list(OUTER.as_dict()) == list(TOLD)
    assert json.loads(json.dumps(OUTER.as_dict(), allow_nan=False)) == TOLD
    assert type(OUTER.as_dict()["inner"]) is dict


def test_keys_and_square_brackets_give_the_same() -> None:
    assert list(OUTER.keys()) == list(TOLD)
    assert {key: OUTER[key] for key in OUTER.keys()} == TOLD  # noqa: SIM118 - not a mapping
    assert dict(OUTER) == {**OUTER} == TOLD
    assert OUTER["listed"][0]["map5"] == OUTER.listed[0].map5 == 0.75
    with pytest.raises(KeyError, match="before"):
        OUTER["before"]
    with pytest.raises(KeyError, match="nothing"):
        OUTER["nothing"]


def test_a_field_whose_key_is_a_word_of_python_keeps_both() -> None:
    assert (OUTER.before, OUTER.after) == (OUTER["without"], OUTER["with"]) == (0.1, 0.2)
    # and is made again from what it told
    keys = {"without": "before", "with": "after"}
    numbers = {keys[key]: OUTER[key] for key in keys}
    given = {name: getattr(OUTER, name) for name in ("inner", "each", "listed", "mix", "place")}
    assert Outer(**numbers, **given) == OUTER


def test_a_result_stays_as_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        OUTER.after = 1.0  # type: ignore[misc]
    told = OUTER.as_dict()
    told["each"]["a"]["map5"] = 0.0
    assert OUTER.each["a"].map5 == 0.25


def test_plain_leaves_anything_else_alone() -> None:
    thing = object()
    assert plain(thing) is thing
    assert plain({"a": (1, None, "x", True)}) == {"a": [1, None, "x", True]}
    assert plain(Inner) is Inner, "a class is no result"
