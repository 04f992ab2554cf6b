"""Species names, repaired by an explicit map and never silently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cv.errors import FinblendError
from cv.tables import read_table, text_column

# Happywhale's typing errors and doubled names: 30 raw species become 26.
HAPPYWHALE_REPAIRS: Mapping[str, str] = {
    "bottlenose_dolpin": "bottlenose_dolphin",
    "kiler_whale": "killer_whale",
    "pilot_whale": "short_finned_pilot_whale",
    "globis": "short_finned_pilot_whale",
}


@dataclass(frozen=True)
class Repair:
    """One species name that was replaced.

    Attributes
    ----------
    raw, repaired : str
        The name in the table and the name it became.
    photos : int
        How many photos carried it.
    """

    raw: str
    repaired: str
    photos: int


def repair_species(
    species: pl.Series, repairs: Mapping[str, str] = HAPPYWHALE_REPAIRS
) -> tuple[pl.Series, list[Repair]]:
    """Replace species names by a map and report each replacement.

    Parameters
    ----------
    species : polars.Series of str
        One name a photo.
    repairs : mapping of str to str
        Raw name to right name; names that are not in it stay as they are.

    Returns
    -------
    repaired : polars.Series of str
    report : list of Repair
        Sorted by raw name; only names that occur.

    Examples
    --------
    >>> fixed, report = repair_species(pl.Series(["kiler_whale", "beluga"]))
    >>> fixed.to_list(), report
    (['killer_whale', 'beluga'], [Repair(raw='kiler_whale', repaired='killer_whale', photos=1)])
    """
    repairs = {old: new for old, new in repairs.items() if old != new}
    chained = sorted(set(repairs) & set(repairs.values()))
    if chained:
        raise FinblendError(f"species map: '{chained[0]}' is both repaired and a result; a repair is one step")
    counts = dict(species.drop_nulls().value_counts().iter_rows())
    report = [Repair(raw, repairs[raw], counts[raw]) for raw in sorted(counts) if raw in repairs]
    return species.replace(dict(repairs)), report


def read_species_map(path: str | Path) -> dict[str, str]:
    """Read a species map: JSON `{"raw": "right"}` or a CSV with columns `raw,repaired`.

    Raises
    ------
    FinblendError
        If the file is not of one of the two forms.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FinblendError(f"{path}: cannot be read as JSON ({error})") from None
        if not isinstance(value, dict) or not all(isinstance(new, str) for new in value.values()):
            raise FinblendError(f'{path}: a species map is {{"raw name": "right name", ...}}')
        return value
    table, name = read_table(path)
    if table.columns != ["raw", "repaired"]:
        raise FinblendError(f"{name}: a species map has the columns raw,repaired; it has {','.join(table.columns)}")
    raw, repaired = text_column(table, "raw", name), text_column(table, "repaired", name)
    twice = (~raw.is_first_distinct()).arg_true()
    if len(twice):
        raise FinblendError(f"{name}: row {twice[0] + 1}: {raw[twice[0]]} stands twice; a name has one repair")
    return dict(zip(raw, repaired, strict=True))


def species_text(values: pl.Series) -> pl.Series:
    """Species as text; wildlife-datasets allows lists of them, and tables keep their text.

    Examples
    --------
    >>> species_text(pl.Series([["lion"], ["lion", "cat"]])).to_list()
    ['lion', 'lion, cat']
    >>> species_text(pl.Series(["['lion']", "cat"])).to_list()
    ['lion', 'cat']
    """
    if isinstance(values.dtype, pl.List):
        return values.cast(pl.List(pl.String)).list.join(", ")
    text = values.cast(pl.String)
    return text.str.replace(r"^\[['\"](.*)['\"]\]$", "$1").str.replace_all(r"['\"], ['\"]", ", ")
