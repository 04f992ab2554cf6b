"""What a project knows of its photos, as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from cv.catalogue import IMAGE_COLUMNS, NO_SPECIES, Catalogue
from cv.errors import FinblendError, shown
from cv.tables import pick_column, read_table, refuse_repeats, text_column
from ensemble.exchange.decisions import NAMES, read_decisions
from ensemble.exchange.photo_facts import boxes_of, sizes_of
from ensemble.exchange.records import COLUMNS, as_text_of_any, checked
from ensemble.exchange.taxa import HAPPYWHALE, read_taxa, scientific_name
from ensemble.project.folder import Project

SPLITS = ("train", "test", "all")
# what tables call it -> what records do; the first that there is counts
_COLUMNS: Mapping[str, Sequence[str]] = {
    "date": ("date", "datetime", "timestamp", "eventDate"),
    "latitude": ("latitude", "decimalLatitude", "lat"),
    "longitude": ("longitude", "decimalLongitude", "lon", "lng"),
    "location": ("location", "locality", "verbatimLocality", "locationName"),
}
_BOX_COLUMNS = ("bbox", "box")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which photos, whose names, and where what the catalogue lacks comes from.

    Attributes
    ----------
    decisions : path, optional
        Names of test photos.
    names : {"auto", "all"}
        Names of the band `auto`, or of every band.
    min_probability : float
        Of a name that is taken from decisions.
    split : {"train", "test", "all"}, optional
        By default `train`, and with decisions `all`.
    species : str, optional
        Photos of this one alone; a named photo is of its animal's.
    details : path, optional
        A table of photos whose columns go before the catalogue's.
    boxes : str, optional
        As of `embed`; empty for none.
    images : sequence of path
        Folders, for the sizes of photos.
    taxa : path, optional
    date, location : str, optional
        Of photos that have none; a location is text, or LAT,LON.
    """

    decisions: str | Path | None = None
    names: str = "auto"
    min_probability: float = 0.0
    split: str | None = None
    species: str | None = None
    details: str | Path | None = None
    boxes: str | None = None
    images: Sequence[str | Path] = field(default_factory=list)
    taxa: str | Path | None = None
    date: str | None = None
    location: str | None = None

    def __post_init__(self) -> None:
        for flag, value, known in (("--names", self.names, NAMES), ("--split", self.split or "all", SPLITS)):
            if value not in known:
                raise FinblendError(f"{flag} {value}: must be one of {', '.join(known)}")
        if not 0 <= self.min_probability <= 1:
            raise FinblendError(f"--min-probability: 0 <= P <= 1 must hold, but got P={self.min_probability}")


def records_of(project: Project, wanted: Wanted, *, boxes: bool = True, extra: str | None = None) -> pl.DataFrame:
    """Collect records.

    Parameters
    ----------
    project : Project
    wanted : Wanted
    boxes : bool
        Whether boxes and sizes are asked for.
    extra : str, optional
        A column of the tables that is kept, under the name `extra`.

    Returns
    -------
    polars.DataFrame
        As `checked` leaves them: train photos, then test photos, each in the catalogue's order.
    """
    frame = _photos(project, wanted)
    if wanted.details is not None:
        frame = _with_details(frame, wanted.details)
    columns = {
        column: next((pl.col(name) for name in names if name in frame.columns), pl.lit(None))
        for column, names in _COLUMNS.items()
    }
    if extra is not None:
        if extra not in frame.columns:
            raise FinblendError(f"{extra}: no column of the catalogue ({shown(frame.columns, 12)})")
        columns["extra"] = pl.lit(as_text_of_any(frame[extra]))
    kept = ("image", "path", "individual_id", "species", "encounter", "split", "width", "height")
    own = {name: pl.col(name) for name in kept if name in frame.columns}
    records = frame.select(**own, **columns)
    source = (
        next((name for name in _BOX_COLUMNS if name in frame.columns), None) if wanted.boxes is None else wanted.boxes
    )
    if boxes and source:
        records = records.join(boxes_of(source, frame), on="image", how="left", maintain_order="left")
    if boxes and wanted.images:
        records = sizes_of(records, wanted.images)
    records = _with_answers(records, project, wanted)
    records = _with_stated(checked(records, str(wanted.details or project.folder)), wanted)
    records = _with_species(records, project.catalogue)
    if wanted.species is not None:
        of_species = records.filter(pl.col("species") == wanted.species)
        if of_species.is_empty():
            known = records["species"].drop_nulls().unique().sort()
            raise FinblendError(f"--species {wanted.species}: no photo; there are {shown(known)}")
        records = of_species
    taxa = {**HAPPYWHALE, **(read_taxa(wanted.taxa) if wanted.taxa else {})}
    names = {each: scientific_name(each, taxa) for each in [*records["species"].drop_nulls().unique(), NO_SPECIES]}
    species = pl.col("species").fill_null(NO_SPECIES)
    scientific = species.replace_strict(names, default=None, return_dtype=pl.String)
    return records.with_columns(scientific_name=scientific).select(*COLUMNS, pl.exclude(*COLUMNS))


def _with_species(records: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Species that follow: a named animal's own, and the only one that there is."""
    known = [catalogue.species[each] for each in catalogue.species_of_individual]
    of_name = dict(zip(catalogue.individuals, known, strict=True))
    follows = pl.col("individual_id").replace_strict(of_name, default=None, return_dtype=pl.String)
    if len(catalogue.species) == 1:
        follows = pl.lit(catalogue.species[0])
    return records.with_columns(species=pl.coalesce("species", follows.replace(NO_SPECIES, None)))


def _photos(project: Project, wanted: Wanted) -> pl.DataFrame:
    split = wanted.split or ("train" if wanted.decisions is None else "all")
    splits = ["train", "test"] if split == "all" else [split]
    frame = project.catalogue.frame.filter(pl.col("split").is_in(splits))
    if frame.is_empty():
        raise FinblendError(f"{project.folder}: has no {split} photos")
    return frame


def _with_details(frame: pl.DataFrame, path: str | Path) -> pl.DataFrame:
    """Columns of another table, which go before the catalogue's own where they say something."""
    table, name = read_table(path)
    images = text_column(table, pick_column(table, IMAGE_COLUMNS, name), name)
    refuse_repeats(images, name)
    said = [column for column in table.columns if column not in {*IMAGE_COLUMNS, "individual_id", "identity", "split"}]
    table = table.select(images.alias("image"), *(pl.col(column).alias(f"{column}\0") for column in said))
    if frame.join(table, on="image", how="semi").is_empty():
        raise FinblendError(f"{name}: names no photo that is to be written (a name looks like {frame['image'][0]})")
    frame = frame.join(table, on="image", how="left", maintain_order="left")
    frame = frame.with_columns(pl.col(pl.String).replace("", None))
    chosen = [_first_said(frame, f"{column}\0", column) for column in said]
    return frame.with_columns(chosen).drop(f"{column}\0" for column in said)


def _first_said(frame: pl.DataFrame, column: str, instead: str) -> pl.Series:
    """A column, and where it says nothing another; as text where they are of two kinds."""
    values = frame[column].alias(instead)
    if instead not in frame.columns:
        return values
    kinds = {values.dtype, frame[instead].dtype}
    pair = [values, frame[instead]] if len(kinds) == 1 else [as_text_of_any(each) for each in (values, frame[instead])]
    return pair[0].fill_null(pair[1])


def _with_answers(records: pl.DataFrame, project: Project, wanted: Wanted) -> pl.DataFrame:
    """Test photos with who decisions say they show."""
    if wanted.decisions is None:
        return records
    answers = read_decisions(wanted.decisions, project.catalogue.test_images, wanted.names, wanted.min_probability)
    answers = answers.rename({"individual_id": "answer"})
    joined = records.join(answers, on="image", how="left", maintain_order="left")
    return joined.with_columns(individual_id=pl.coalesce("individual_id", "answer")).drop("answer")


def _with_stated(records: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    if wanted.date is not None:
        records = records.with_columns(pl.col("date").fill_null(wanted.date))
    if wanted.location is None:
        return checked(records, "--date") if wanted.date is not None else records
    nowhere = pl.col("latitude").is_null() & pl.col("location").is_null()
    try:
        latitude, longitude = map(float, wanted.location.split(","))
        stated = {"latitude": pl.lit(latitude), "longitude": pl.lit(longitude)}
    except ValueError:
        stated = {"location": pl.lit(wanted.location)}
    records = records.with_columns(
        pl.when(nowhere).then(value).otherwise(pl.col(column)).alias(column) for column, value in stated.items()
    )
    return checked(records, "--date or --location")


def unnamed_by_band(records: pl.DataFrame) -> dict[str, int]:
    """How many photos have no name, by their band; `-` for those of which no decision speaks."""
    unnamed = records.filter(pl.col("individual_id").is_null())
    counts = unnamed.select(pl.col("band").fill_null("-")).to_series().value_counts()
    return dict(sorted(counts.iter_rows()))
