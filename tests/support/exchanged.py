"""Records at random, and a contract that every form of exchange keeps."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ensemble.exchange.contract import Exchange, Stated
from ensemble.exchange.records import BOX, COLUMNS, checked

# what forms may stumble over: formulas, separators, escapes, comments, digits that are text
LETTERS = "abzAZ019 =+-@#,;:|%\"'*/\\_<>&é鯨"
EMPTY = {"NA", "NaN", "nan"}
SPECIES = {"beluga": "Delphinapterus leucas", "=orca": "Orcinus orca", "a|b%7C": "Tursiops truncatus"}


def texts() -> st.SearchStrategy[str]:
    """Names of animals and encounters: no blanks around them."""
    drawn = st.one_of(
        st.text(LETTERS, min_size=1, max_size=8), st.sampled_from(["12", "1.0", "_x0041_", "#N/A", "=1+1"])
    )
    return drawn.map(str.strip).filter(lambda text: text not in {"", *EMPTY, "unspecified"})


def dates() -> st.SearchStrategy[str]:
    """As exact as they may be known."""
    day = st.dates(min_value=date(1900, 1, 1)).map(str)
    time = st.sampled_from(["T10:30", " 23:59:59", "T00:00:00Z", "T06:07:08+02:00", "T06:07:08.25-11:30"])
    return st.one_of(day, day.map(lambda d: d[:4]), day.map(lambda d: d[:7]), st.builds(str.__add__, day, time))


@st.composite
def photos(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """One record of which everything is known, or little."""
    maybe = st.none() | texts()
    width, height = draw(st.integers(20, 9000)), draw(st.integers(20, 9000))
    known, boxed, asked = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    species = draw(st.sampled_from(sorted(SPECIES)))
    x, y = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    box = [x / 1, y + 0.25, draw(st.integers(2, width)) / 2, draw(st.integers(2, height)) / 2 - 0.25]
    box[2], box[3] = min(box[2], width - x), min(box[3], height - y - 0.25)
    return {
        "image": f"{draw(st.sampled_from(['a', '=b', 'C_0', '-1']))}{number}.jpg",
        "path": draw(st.none() | st.just(f"folder/p{number}.png")),
        "individual_id": draw(st.sampled_from(["id1", "=id2"]) | maybe),
        "species": species,
        "scientific_name": SPECIES[species],
        "encounter": draw(st.sampled_from(["e 1", "e_1"]) | maybe),
        "date": draw(st.sampled_from(["2021", "2021-02-03"]) | dates()),
        "latitude": draw(st.floats(-90, 90)),
        "longitude": draw(st.floats(-180, 180)),
        "location": draw(maybe),
        **dict(zip(BOX, box if boxed else [None] * 4, strict=True)),
        "width": width if known or boxed else None,
        "height": height if known or boxed else None,
        "split": draw(st.sampled_from(["train", "test"])),
        "band": draw(st.sampled_from(["auto", "review", "new"])) if asked else None,
        "probability": draw(st.floats(0, 1)) if asked else None,
    }


@st.composite
def records(draw: st.DrawFn) -> pl.DataFrame:
    """A table of a few photos."""
    rows = [draw(photos(number)) for number in range(draw(st.integers(1, 5)))]
    return checked(pl.DataFrame(rows, schema=dict(COLUMNS)), "drawn")


class ExchangeContract:
    """What is written is read again; a subclass names its form and where it may be written."""

    form: Exchange
    places: tuple[str, ...]

    def test_a_round_trip_is_without_loss(self) -> None:
        # inside, or several subclasses would be one test to hypothesis
        @examples(10)
        @given(drawn=records(), place=st.sampled_from(self.places))
        def holds(drawn: pl.DataFrame, place: str) -> None:
            with tempfile.TemporaryDirectory() as folder:
                self.form.refuse_place(Path(folder) / place)
                self.form.write(drawn, Path(folder) / place, Stated())
                assert [path.name for path in Path(folder).iterdir()] == [place]
                reading = self.form.read(Path(folder) / place)
            assert_frame_equal(reading.records, drawn)
            assert reading.notes == []

        holds()
