"""Who a project's test photos show, as `decide` wrote it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.tables import as_text, pick_column, read_table, refuse_repeats, text_column
from ensemble.outputs.bands import BANDS

NAMES = ("auto", "all")


def read_decisions(path: str | Path, test_images: Collection[str], names: str, least: float) -> pl.DataFrame:
    """Read decisions: which names are taken, with their band and probability.

    Answers of any other origin (a person's) have the same three columns.

    Parameters
    ----------
    path : str or Path
        A CSV that `decide` wrote.
    test_images : collection of str
        What it may speak of.
    names : {"auto", "all"}
        Names of the band `auto`, or of every band.
    least : float
        Names with a lower probability are not taken.

    Returns
    -------
    polars.DataFrame
        `image, individual_id` (null where no name is taken, or it is somebody new), `band, probability`.

    Raises
    ------
    FinblendError
        If it is no such file, or of another project.
    """
    table, name = read_table(path)
    for column in ("image", "band", "name_1", "probability_1"):
        pick_column(table, (column,), name)
    images = text_column(table, "image", name)
    refuse_repeats(images, name)
    unknown = (~images.is_in(list(test_images))).arg_true()
    if len(unknown):
        raise FinblendError(f"{name}: row {unknown[0] + 1}: image {images[unknown[0]]} is no test photo of the project")
    band = text_column(table, "band", name)
    said = table["probability_1"].cast(pl.String).str.strip_chars().replace("", None)
    probability = said.cast(pl.Float64, strict=False)
    unlikely = said.is_not_null() & ~probability.is_between(0, 1).fill_null(False)
    bad = (~band.is_in(list(BANDS)) | unlikely).arg_true()
    if len(bad):
        row = bad[0]
        raise FinblendError(
            f"{name}: row {row + 1}: band '{band[row]}' with probability '{table['probability_1'][row]}': a band is "
            f"one of {', '.join(BANDS)}, a probability lies within 0 and 1"
        )
    answered = pl.DataFrame(
        {"image": images, "individual_id": as_text(table["name_1"]), "band": band, "probability": probability}
    )
    known = pl.col("individual_id").replace(["", NEW_INDIVIDUAL], None)
    # a person's answer has no probability
    taken = (pl.col("probability").fill_null(0.0) >= least) & ((pl.col("band") == "auto") | pl.lit(names == "all"))
    return answered.with_columns(individual_id=pl.when(taken).then(known))
