"""Read what others wrote into tables that `init` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cv.errors import FinblendError
from cv.files import written_beside
from ensemble.exchange.contract import refuse_suffix
from ensemble.exchange.forms import FORMS
from ensemble.exchange.records import BOX
from ensemble.project.outputs import refuse_output
from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class ImportFromResult(Result):
    """Tables that were written.

    Attributes
    ----------
    output : str
    test : str or None
    labelled, individuals : int
        Photos whose name is a label, and different names among them.
    to_name : int
        The other photos.
    machine_named : int
        Of these, photos that a blend has named: their name is a column `name`, no label.
    columns : list of str
    notes : list of str
    """

    output: str
    test: str | None
    labelled: int
    individuals: int
    to_name: int
    machine_named: int
    columns: list[str]
    notes: list[str]


def import_from(
    form: str, place: str | Path, output: str | Path, *, test: str | Path | None = None
) -> ImportFromResult:
    """Read another platform's photos and names.

    Photos without a name are test photos, and so are those that a blend has named, in finblend's own files: a machine's
    name is no label. Their row has no `individual_id`; the name stands in `name`, with `band` and `probability`.

    Parameters
    ----------
    form : {"wildbook", "camtrap-dp", "coco"}
    place : str or Path
        The file or folder.
    output : str or Path
        CSV for `init --train`: all photos, or with `test` those whose name is a label.
    test : str or Path, optional
        CSV for `init --test`.

    Raises
    ------
    FinblendError
        If it cannot be read, or holds no named photo.
    """
    if form not in FORMS:
        raise FinblendError(f"{form}: no form that is read; one of {', '.join(FORMS)}")
    place, output = Path(place), Path(output)
    places = [output, *([Path(test)] if test is not None else [])]
    for each in places:
        refuse_output(each)
        if each.exists():
            raise FinblendError(f"{each}: is there already; choose another name")
        refuse_suffix(each, ".csv", "a table of photos")
    if test is not None and places[0].resolve() == places[1].resolve():
        raise FinblendError(f"{test}: is the file of -o, too; --test needs another")
    reading = FORMS[form].read(place)
    table = table_of(reading.records)
    labelled = pl.col("individual_id").is_not_null()
    known = table.filter(labelled)
    if known.is_empty():
        left_out = "".join(f"; {note}" for note in reading.notes)
        raise FinblendError(f"{place}: none of its {table.height} photos has a name{left_out}")
    parts = [table] if test is None else [known, table.filter(~labelled).drop("individual_id")]
    for each, part in zip(places, parts, strict=True):
        with written_beside(each) as temporary:
            part.write_csv(temporary)
    return ImportFromResult(
        output=str(output),
        test=None if test is None else str(test),
        labelled=known.height,
        individuals=known["individual_id"].n_unique(),
        to_name=table.height - known.height,
        machine_named=table["name"].count() if "name" in table.columns else 0,
        columns=table.columns,
        notes=reading.notes,
    )


def table_of(records: pl.DataFrame) -> pl.DataFrame:
    """Records as a table for `init`: columns in which something stands, boxes as `[x, y, w, h]` for `embed`."""
    # a test photo's name without a band is a person's
    by_machine = pl.col("split").eq_missing("test") & pl.col("band").is_not_null()
    box = pl.format("[{}, {}, {}, {}]", *BOX)
    table = records.select(
        "image",
        "path",
        pl.when(~by_machine).then("individual_id").alias("individual_id"),
        # the species of a photo that a blend named is that of the name
        pl.when(~by_machine)
        .then(pl.col("species").fill_null(pl.col("scientific_name")))
        .when(pl.col("individual_id").is_null())
        .then("species")
        .alias("species"),
        "encounter",
        "date",
        "latitude",
        "longitude",
        "location",
        pl.when(pl.col(BOX[0]).is_not_null()).then(box).alias("bbox"),
        "width",
        "height",
        pl.when(by_machine).then("individual_id").alias("name"),
        "band",
        "probability",
    )
    said = [column for column in table.columns if table[column].count() or column in {"image", "individual_id"}]
    return table.select(said)
