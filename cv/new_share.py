"""A table of the strangers expected in each species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cv.errors import FinblendError, shown
from cv.mix import REST, Mix, check_share
from cv.raking import rates_at
from cv.tables import TableLike, pick_column, read_table, text_column


def read_new_shares(source: TableLike, species: Sequence[str], repairs: Mapping[str, str]) -> dict[str, float]:
    """Read a table with columns `species,new_share`, a row for each species; a row `*` stands for the rest.

    Parameters
    ----------
    source : path, polars.DataFrame or pandas.DataFrame
    species : sequence of str
        The catalogue's.
    repairs : mapping of str to str
        Names that the catalogue had repaired, which the table may still write as they were.

    Returns
    -------
    dict of str to float
        Share of strangers in [0, 1), as `cv.Mix` takes it.

    Raises
    ------
    FinblendError
        If a species is unknown, stands twice or has no share, or a share is none.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"species": ["kiler_whale", "*"], "new_share": [0.02, 0.1]})
    >>> read_new_shares(table, ["beluga", "killer_whale"], {"kiler_whale": "killer_whale"})
    {'killer_whale': 0.02, '*': 0.1}
    """
    table, name = read_table(source, "new_share")
    names = text_column(table, pick_column(table, ("species",), name), name).str.strip_chars()
    values = text_column(table, pick_column(table, ("new_share",), name), name)
    shares: dict[str, float] = {}
    for row, (raw, text) in enumerate(zip(names, values, strict=True), start=1):
        species_name = repairs.get(raw, raw)
        if species_name != REST and species_name not in species:
            raise FinblendError(
                f"{name}: row {row}: species '{species_name}' is not among the catalogue's ({shown(species)})"
            )
        if species_name in shares:
            raise FinblendError(f"{name}: row {row}: species {species_name} stands twice; a species has one share")
        try:
            share = float(text)
        except ValueError:
            raise FinblendError(f"{name}: row {row}: new_share '{text}' is not a number") from None
        try:
            check_share("new_share", share, text)
        except FinblendError as error:
            raise FinblendError(f"{name}: row {row}: {error}") from None
        shares[species_name] = share
    missing = [known for known in species if known not in shares]
    if missing and REST not in shares:
        raise FinblendError(
            f"{name}: gives no share for {shown(missing)}; every species needs a row, or a row '{REST}' the rest"
        )
    return shares


def at_share(mix: Mix, share: float, species: Sequence[str], expected: np.ndarray) -> Mix:
    """A mix with another share of strangers overall.

    Shares by species keep their pattern: the odds of all of them are changed by one factor, so each stays in [0, 1).

    Parameters
    ----------
    mix : Mix
    share : float
        In [0, 1).
    species : sequence of str
        The catalogue's.
    expected : (n_species,) float array
        Share of each species among the photos.

    Examples
    --------
    >>> mix = at_share(Mix({"a": 0.1, "b": 0.2}), 0.3, ["a", "b"], np.array([0.5, 0.5]))
    >>> {name: round(own, 3) for name, own in mix.new_share.items()}
    {'a': 0.217, 'b': 0.383}
    """
    shares = mix.shares(species)
    expected = np.asarray(expected) / np.sum(expected)
    if shares is None or not isinstance(mix.new_share, Mapping) or share == 0 or share >= 1 - expected @ (shares == 0):
        # where no factor reaches it, all species have the share
        return replace(mix, new_share=share)
    moved = rates_at(shares / (1 - shares), expected, share)
    return replace(mix, new_share=dict(zip(species, np.minimum(moved, np.nextafter(1.0, 0.0)).tolist(), strict=True)))
