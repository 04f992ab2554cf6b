"""Pseudo-labels: names that a blend gave to test photos, and where they come from.

A label for fold K's network must come from stores and galleries that never saw fold K: otherwise fold K's labels reach
the network by way of the test photos, and out-of-fold scores are no longer honest. A file says so in a small one beside
it; one that says nothing comes from elsewhere and trains `full` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cv.catalogue import IMAGE_COLUMNS, NEW_INDIVIDUAL, Catalogue
from cv.errors import FinblendError, shown
from cv.files import read_json, sha256_of, write_json, written_beside
from cv.tables import as_text, pick_column, read_table, refuse_repeats, text_column

# notes beside a name: why it can be trusted, and the round it was merged in
NOTES = ("why", "origin")


@dataclass(frozen=True)
class PseudoLabels:
    """Names of test photos.

    Attributes
    ----------
    frame : polars.DataFrame
        `image`, `individual_id`, `conf` (Float64 within 0 and 1), and `why` and `origin` (String) where they are told.
    never_saw : str or None
        `fold-K` or `full`, what the labels may train; None for a file from elsewhere.
    labels : str or None
        Hash of the catalogue's labels and folds that they were made with.
    made : mapping or None
        How they were made: rule, threshold, models, recipe; of the set for `full` the other sets' hashes, too.
    """

    frame: pl.DataFrame
    never_saw: str | None = None
    labels: str | None = None
    made: Mapping[str, Any] | None = None

    def refuse_for(self, seen: str, labels: str, name: str, flag: str = "--pseudo ") -> None:
        """Refuse labels that may have seen what the network must not.

        Parameters
        ----------
        seen : str
            `fold-K` or `full`: the network to be trained.
        labels : str
            Hash of the catalogue's labels and folds.
        name, flag : str
            The file, and the option that named it, for the error line.
        """
        if seen == "full":
            return
        if self.never_saw is None:
            raise FinblendError(
                f"{flag}{name}: does not say what it has seen, so it trains --folds full only; "
                f"labels for {seen} must come from stores that never saw it"
            )
        if self.labels != labels:
            raise FinblendError(f"{flag}{name}: was made with other labels or folds than this project's")
        if self.never_saw != seen:
            raise FinblendError(
                f"{flag}{name}: its labels are for {self.never_saw}; they may have seen {seen}'s labels"
            )


def read_pseudo_labels(path: Path, catalogue: Catalogue, least: float = 0.0) -> PseudoLabels:
    """Read `image, individual_id, conf` and what stands beside it.

    Parameters
    ----------
    path : Path
        `.csv` or `.parquet`. Rows that name `new_individual` name nobody and are left out.
    catalogue : Catalogue
    least : float
        Rows below this confidence are left out.

    Raises
    ------
    FinblendError
        If a photo is not among the test photos, an individual is unknown, or a confidence is not within 0 and 1.
    """
    table, name = read_table(path)
    image_column = pick_column(table, IMAGE_COLUMNS, name)
    for column in ("individual_id", "conf"):
        pick_column(table, (column,), name)
    images = text_column(table, image_column, name)
    refuse_repeats(images, name)
    individuals = text_column(table, "individual_id", name)
    conf = as_text(table["conf"]).cast(pl.Float64, strict=False) if table["conf"].dtype == pl.String else table["conf"]
    conf = conf.cast(pl.Float64, strict=False)
    known = [*catalogue.individuals, NEW_INDIVIDUAL]
    for bad, rule in (
        (~images.is_in(catalogue.test["image"].implode()), "image {} is not among the test photos"),
        (~individuals.is_in(known), "individual_id {} is not among the catalogue's individuals"),
        (~conf.is_between(0, 1).fill_null(False), "conf {} is not within 0 and 1"),
    ):
        if bad.any():
            row = int(bad.arg_true()[0])
            value = table["conf"][row] if "conf" in rule else individuals[row] if "individual" in rule else images[row]
            raise FinblendError(f"{name}: row {row + 1}: {rule.format(value)}")
    notes = {column: as_text(table[column]) for column in NOTES if column in table.columns}
    frame = pl.DataFrame({"image": images, "individual_id": individuals, "conf": conf, **notes})
    frame = frame.filter((pl.col("individual_id") != NEW_INDIVIDUAL) & (pl.col("conf") >= least))
    if frame.is_empty():
        raise FinblendError(f"{name}: no row names an individual with conf >= {least}")
    return PseudoLabels(frame, *_read_beside(path))


def set_file(path: Path, seen: str) -> Path:
    """Where the set for `fold-K` stands beside the one for `full`.

    Examples
    --------
    >>> set_file(Path("P/pseudo.csv"), "fold-0").name, set_file(Path("P/pseudo.csv"), "full").name
    ('pseudo-fold-0.csv', 'pseudo.csv')
    """
    return path if seen == "full" else path.with_name(f"{path.stem}-{seen}{path.suffix}")


def write_pseudo_labels(path: Path, pseudo: PseudoLabels) -> None:
    """Write the labels, and beside them what they have seen."""
    with written_beside(path) as temporary:
        notes = [column for column in NOTES if column in pseudo.frame.columns]
        pseudo.frame.select("image", "individual_id", "conf", *notes).write_csv(temporary)
    beside: dict[str, Any] = {"sha256": sha256_of(path), "never_saw": pseudo.never_saw, "labels": pseudo.labels}
    if pseudo.made is not None:
        beside["made"] = dict(pseudo.made)
    write_json(_beside(path), beside)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_beside(path: Path) -> tuple[str | None, str | None, Mapping[str, Any] | None]:
    beside = _beside(path)
    if not beside.is_file():
        return None, None, None
    value = read_json(beside)
    wanted = {"sha256", "never_saw", "labels"}
    if not isinstance(value, dict) or value.keys() - {"made"} != wanted:
        raise FinblendError(f"{beside}: must hold {shown(sorted(wanted))}, may hold made, and nothing else")
    made = value.get("made")
    if not isinstance(made, dict | None):
        raise FinblendError(f"{beside}: made must be an object, but got {made!r}")
    if value["sha256"] != sha256_of(path):
        raise FinblendError(f"{path}: has changed since finblend wrote it; what {beside.name} says is no longer true")
    return value["never_saw"], value["labels"], made
