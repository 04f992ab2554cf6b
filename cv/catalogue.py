"""The catalogue: one row a photo, from Kaggle's tables or the wildlife-datasets frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from cv.errors import FinblendError
from cv.files import written_beside
from cv.species import HAPPYWHALE_REPAIRS, Repair, repair_species, species_text
from cv.splits import OF_PHOTO, in_named_folders, unnamed, with_parts
from cv.tables import TableLike, as_text, column_of_file, pick_column, read_table, refuse_repeats, text_column

NEW_INDIVIDUAL = "new_individual"
NO_SPECIES = "unspecified"
# wildlife-datasets writes an animal nobody has named as "unknown"
UNKNOWN_IDENTITY = "unknown"

IMAGE_COLUMNS = ("image", "image_id", "path")
IDENTITY_COLUMNS = ("individual_id", "identity")


@dataclass(frozen=True)
class Catalogue:
    """Photos, who is on them, and what finblend knows about them.

    Attributes
    ----------
    frame : polars.DataFrame
        One row a photo: `image`, `individual_id` (null in test), `species`, `split` ("train", "test" or
        "unlabelled"), `fold` (Int32, null outside train), `row` (0-based position in the file it came from, which
        foreign files point at), `encounter` (null where unknown), and every other column of the tables.
        Train photos come first, then test photos, each in their file's order.
    """

    frame: pl.DataFrame

    @cached_property
    def train(self) -> pl.DataFrame:
        """The labelled photos, in order."""
        return self.frame.filter(pl.col("split") == "train")

    @cached_property
    def test(self) -> pl.DataFrame:
        """The photos to be named, in the sample's order."""
        return self.frame.filter(pl.col("split") == "test")

    @cached_property
    def individuals(self) -> list[str]:
        """Every known individual, sorted; indices into it are the labels everywhere else."""
        return self.train["individual_id"].unique().sort().to_list()

    @cached_property
    def labels(self) -> np.ndarray:
        """(n_train,) int32 index into `individuals` of each train photo."""
        order = pl.DataFrame({"individual_id": self.individuals}).with_row_index("label")
        joined = self.train.select("individual_id").join(order, on="individual_id", how="left", maintain_order="left")
        return joined["label"].to_numpy().astype(np.int32)

    @cached_property
    def species(self) -> list[str]:
        """Every species among the train photos, sorted."""
        return self.train["species"].unique().sort().to_list()

    @cached_property
    def species_of_individual(self) -> np.ndarray:
        """(n_individuals,) int32 index into `species`: the species most of an individual's photos carry."""
        counts = self.train.group_by("individual_id", "species").len()
        top = counts.sort("len", "species", descending=[True, False]).unique("individual_id", keep="first")
        index = {name: i for i, name in enumerate(self.species)}
        return np.array([index[s] for s in top.sort("individual_id")["species"]], dtype=np.int32)

    @cached_property
    def folds(self) -> np.ndarray:
        """(n_train,) int32 fold of each train photo."""
        return self.train["fold"].to_numpy().astype(np.int32)

    @cached_property
    def fold_ids(self) -> list[int]:
        """The folds that exist, sorted."""
        return [int(fold) for fold in np.unique(self.folds)]

    @cached_property
    def rows_by_fold(self) -> dict[int, np.ndarray]:
        """Train rows of each fold, ascending."""
        return {fold: np.flatnonzero(self.folds == fold) for fold in self.fold_ids}

    @cached_property
    def encounters(self) -> np.ndarray:
        """(n_train,) int32 number of each train photo's encounter; -1 where it is not known."""
        values = self.train["encounter"].cast(pl.String)
        numbers = values.rank("dense").cast(pl.Int32) - 1
        return np.asarray(numbers.fill_null(-1).to_numpy(), dtype=np.int32)

    @cached_property
    def train_images(self) -> list[str]:
        """Names of the train photos, in order."""
        return self.train["image"].to_list()

    @cached_property
    def test_images(self) -> list[str]:
        """Names of the test photos, in order."""
        return self.test["image"].to_list()

    def save(self, path: Path) -> None:
        """Write the catalogue as Parquet, atomically."""
        with written_beside(path) as temporary:
            self.frame.write_parquet(temporary)

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue that `save` wrote."""
        return cls(read_table(path)[0])


@dataclass(frozen=True)
class CatalogueReport:
    """What reading a catalogue found and did."""

    repairs: list[Repair] = field(default_factory=list)
    raw_species: int = 0
    unlabelled_images: int = 0
    renamed_individuals: int = 0
    individuals_of_several_species: int = 0
    unused_encounters: bool = False
    left_out: int = 0
    unused_split: bool = False
    of_train_alone: list[str] = field(default_factory=list)
    in_named_folders: int = 0


def read_catalogue(
    train: TableLike,
    test: TableLike | None = None,
    *,
    encounters: str | None = None,
    split: str | None = None,
    repairs: Mapping[str, str] = HAPPYWHALE_REPAIRS,
) -> tuple[Catalogue, CatalogueReport]:
    """Read a catalogue; folds are not assigned yet.

    Parameters
    ----------
    train : path, polars.DataFrame or pandas.DataFrame
        Kaggle's `image,species,individual_id` or the wildlife-datasets frame (`image_id, identity, species, ...`).
        Photos whose identity is "unknown" or empty are the test photos when `test` is not given, else they are kept
        as unlabelled and play no part.
    test : path, polars.DataFrame or pandas.DataFrame, optional
        The photos to be named, in the order the submission shall have.
    encounters : str, optional
        `FILE:COLUMN`, or a column of `train`: photos of one sighting share a value. Photos without one stand alone.
    split : str, optional
        `FILE:COLUMN`, or a column of `train`, instead of `test`: which photos are to be named, though their names are
        known, see `cv.splits`. Of those photos the catalogue has the columns `cv.splits.OF_PHOTO` alone.
    repairs : mapping of str to str
        Species names to replace.

    Raises
    ------
    FinblendError
        If a table lacks a column, repeats an image, or names an individual in a way that cannot be submitted.
    """
    if split is not None and test is not None:
        raise FinblendError(f"--split {split}: says which photos of the train table are test; leave --test out")
    table, name = read_table(train, "train")
    image_column = pick_column(table, IMAGE_COLUMNS, name)
    identity_column = pick_column(table, IDENTITY_COLUMNS, name)
    images = text_column(table, image_column, name)
    refuse_repeats(images, name)
    table = table.drop({image_column, identity_column} - {"image"}).with_columns(
        image=images, individual_id=_identities(table[identity_column], name)
    )
    table, repaired, raw_species = _with_species(table, repairs)
    unused = encounters is None and "encounter" in table.columns
    unused_split = split is None and "split" in table.columns
    table = _with_encounters(table, encounters, name)
    table, left_out = with_parts(table, split, "test" if test is None else "unlabelled", name)
    labelled, queries, others = (table.filter(pl.col("split") == part) for part in ("train", "test", "unlabelled"))
    if labelled.is_empty():
        raise FinblendError(f"{name}: no photo has a known individual")
    labelled, renamed = _without_spaces(labelled, name)
    if test is not None:
        queries, others = _listed_twice(_read_test(test, labelled["image"], repairs), others)
    of_train_alone: list[str] = []
    in_folders = 0
    if split is not None:
        told = {*OF_PHOTO, *IDENTITY_COLUMNS, "encounter", split, ""}
        of_train_alone = [column for column in table.columns if column not in told]
        in_folders = in_named_folders(queries)
        queries, others = unnamed(queries), unnamed(others)
    if queries.is_empty():
        raise FinblendError(f"{name}: no test photos; give --test, --split, or rows with the identity 'unknown'")
    parts = [labelled, queries, others]
    frame = pl.concat([_typed(part) for part in parts], how="diagonal_relaxed")
    frame = frame.with_columns(pl.lit(None, dtype=pl.Int32).alias("fold"))
    first = ["image", "individual_id", "species", "split", "fold", "row", "encounter"]
    frame = frame.select(*first, pl.exclude(first))
    species_each = labelled.group_by("individual_id").agg(pl.col("species").n_unique())
    report = CatalogueReport(
        repairs=repaired,
        raw_species=raw_species,
        unlabelled_images=others.height - left_out,
        renamed_individuals=renamed,
        individuals_of_several_species=species_each.filter(pl.col("species") > 1).height,
        unused_encounters=unused,
        left_out=left_out,
        unused_split=unused_split,
        of_train_alone=of_train_alone,
        in_named_folders=in_folders,
    )
    return Catalogue(frame), report


def _identities(values: pl.Series, name: str) -> pl.Series:
    """Names as text, null where the animal is unknown."""
    text = as_text(values).str.strip_chars()
    taken = (text.str.replace_all(r"\s+", "_") == NEW_INDIVIDUAL).arg_true()
    if len(taken):
        raise FinblendError(f"{name}: row {taken[0] + 1}: an individual cannot be called {text[taken[0]]}")
    return text.set((text == "") | (text == UNKNOWN_IDENTITY), None)


def _with_species(table: pl.DataFrame, repairs: Mapping[str, str]) -> tuple[pl.DataFrame, list[Repair], int]:
    """Add or repair the species column; return the repairs and the number of raw names."""
    if "species" not in table.columns:
        return table.with_columns(species=pl.lit(NO_SPECIES)), [], 1
    raw = species_text(table["species"]).str.strip_chars().replace("", None).fill_null(NO_SPECIES)
    fixed, report = repair_species(raw, repairs)
    return table.with_columns(species=fixed), report, raw.n_unique()


def _with_encounters(table: pl.DataFrame, spec: str | None, name: str) -> pl.DataFrame:
    table = table.drop("encounter", strict=False) if spec != "encounter" else table
    if spec is None:
        return table.with_columns(encounter=pl.lit(None, dtype=pl.String))
    values = column_of_file(spec, table, name).rename({"value": "encounter"})
    values = values.with_columns(pl.col("encounter").str.strip_chars().replace("", None))
    joined = table.drop("encounter", strict=False).join(values, on="image", how="left", maintain_order="left")
    if joined["encounter"].null_count() == joined.height:
        raise FinblendError(f"--encounters {spec}: names no image of {name}")
    return joined


def _without_spaces(table: pl.DataFrame, name: str) -> tuple[pl.DataFrame, int]:
    """A submission separates names with spaces: write them with '_' and refuse two names that become one."""
    names = table["individual_id"].unique()
    renamed = names.filter(names.str.contains(r"\s"))
    if not len(renamed):
        return table, 0
    safe = renamed.str.replace_all(r"\s+", "_")
    clash = safe.is_in(names.implode()) | safe.is_duplicated()
    if clash.any():
        old = renamed.filter(clash).sort()[0]
        raise FinblendError(f"{name}: individual '{old}' holds a space, and written with '_' it equals another one")
    mapping = dict(zip(renamed, safe, strict=True))
    return table.with_columns(pl.col("individual_id").replace(mapping), individual_name="individual_id"), len(renamed)


def _listed_twice(queries: pl.DataFrame, others: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Test photos that the train table lists too, as unknown: one row a photo, with what both tables say."""
    more = others.drop("individual_id", "row", "split", *(c for c in queries.columns if c != "image"), strict=False)
    joined = queries.join(more, on="image", how="left", maintain_order="left")
    return joined, others.join(queries, on="image", how="anti", maintain_order="left")


def _read_test(test: TableLike, train_images: pl.Series, repairs: Mapping[str, str]) -> pl.DataFrame:
    table, name = read_table(test, "test")
    image_column = pick_column(table, IMAGE_COLUMNS, name)
    images = text_column(table, image_column, name)
    refuse_repeats(images, name)
    shared = images.is_in(train_images.implode()).arg_true()
    if len(shared):
        raise FinblendError(f"{name}: row {shared[0] + 1}: image {images[shared[0]]} is a train photo too")
    answers = ("predictions", "fold", "split", "row", "encounter", *IDENTITY_COLUMNS)
    table = table.drop({image_column, *answers} - {"image"}, strict=False).with_columns(image=images)
    if "species" in table.columns:
        table = _with_species(table, repairs)[0]
    return table.with_row_index("row").with_columns(split=pl.lit("test"))


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    wanted = {"image": pl.String, "individual_id": pl.String, "species": pl.String, "encounter": pl.String}
    missing = [pl.lit(None, dtype=kind).alias(column) for column, kind in wanted.items() if column not in table.columns]
    # lists and structs of other tables (boxes) are kept as text: the two tables may write them differently
    nested = [column for column, kind in table.schema.items() if kind.is_nested()]
    plain = [
        pl.Series(column, [None if v is None else str(_plain(v)) for v in table[column]], pl.String)
        for column in nested
    ]
    return table.drop("fold", strict=False).with_columns(*missing, *plain, pl.col("row").cast(pl.Int64))


def _plain(value: object) -> object:
    return value.to_list() if isinstance(value, pl.Series) else value
