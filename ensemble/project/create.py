"""Make a project: the catalogue, its species and its folds."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cv.catalogue import IMAGE_COLUMNS, NO_SPECIES, Catalogue, read_catalogue
from cv.errors import FinblendError, shown
from cv.files import folder_written_beside, write_json
from cv.folds import describe_folds, folds_from_values, make_folds
from cv.species import HAPPYWHALE_REPAIRS, Repair, read_species_map
from cv.tables import TableLike, column_of_file
from ensemble.project.folder import FORMAT
from ensemble.project.kaggle_layout import kaggle_layout
from ensemble.project.result import Result
from ensemble.project.version import finblend_version


@dataclass(frozen=True)
class FoldCounts(Result):
    """The photos of one fold.

    Attributes
    ----------
    photos : int
    strangers : int
        Photos whose individual has no photo in another fold.
    """

    photos: int
    strangers: int


@dataclass(frozen=True, kw_only=True)
class InitResult(Result):
    """What `init` read, repaired and assigned.

    Attributes
    ----------
    train_images, individuals, species, test_images : int
    raw_species : int
        Names before any was repaired.
    repairs : list of Repair
    folds : mapping of the fold, as text, to FoldCounts
    new_share : float
        Share of strangers among the train photos.
    single_photo_individuals, single_encounter_individuals, held_out_individuals : int
        What makes strangers.
    encounters, photos_without_encounter, straddling_encounters : int
    unused_encounters : bool
        Whether the train table has a column `encounter` that was not asked for.
    individuals_of_several_species, renamed_individuals, unlabelled_images : int
    photos : list of str
        What `--images` is to name, where `kaggle` was given.
    left_out : int
        Photos that are in neither part of the split.
    unused_split : bool
        Whether the train table has a column `split` that was not asked for.
    of_train_alone : list of str
        Columns that the split's test photos do not have, as they may tell names.
    in_named_folders : int
        Test photos of the split whose path has a folder that is called as the animal.
    """

    train_images: int
    individuals: int
    species: int
    test_images: int
    raw_species: int
    repairs: list[Repair]
    folds: Mapping[str, FoldCounts]
    new_share: float
    single_photo_individuals: int
    single_encounter_individuals: int
    held_out_individuals: int
    encounters: int
    photos_without_encounter: int
    straddling_encounters: int
    unused_encounters: bool
    individuals_of_several_species: int
    renamed_individuals: int
    unlabelled_images: int
    photos: list[str]
    left_out: int
    unused_split: bool
    of_train_alone: list[str]
    in_named_folders: int


def init(
    folder: str | Path,
    *,
    train: TableLike | None = None,
    kaggle: str | Path | None = None,
    test: TableLike | None = None,
    folds: int | str = 5,
    encounters: str | None = None,
    split: str | None = None,
    test_species: str | None = None,
    species_map: str | Path | Mapping[str, str] | None = None,
    seed: int = 0,
    hold_out: int = 0,
) -> InitResult:
    """Make a project: read and repair the catalogue, assign folds.

    Parameters
    ----------
    folder : str or Path
        A folder that does not exist yet, or is empty.
    train, test : path, polars.DataFrame or pandas.DataFrame
        See `cv.read_catalogue`.
    kaggle : str or Path, optional
        A competition as it was downloaded, instead of `train` and `test`: see `kaggle_layout`.
    folds : int or str
        A number of folds, or `FILE:COLUMN` with folds that a team already has.
    encounters : str, optional
        `FILE:COLUMN`, or a column of the train table: photos of one sighting share a value and never straddle folds.
    split : str, optional
        `FILE:COLUMN`, or a column of the train table, instead of `test`: `train` (`database`, `gallery`) or `test`
        (`query`). Of test photos the project has the columns `cv.splits.OF_PHOTO` alone: no names.
    test_species : str, optional
        `FILE:COLUMN` with the species of test photos, where a classifier or a person has told it.
    species_map : path or mapping, optional
        Replaces the built-in repairs; the path "none" repairs nothing.
    seed : int
        Of the folds.
    hold_out : int
        How many individuals of several encounters are strangers in their fold too, see `cv.make_folds`.

    Returns
    -------
    InitResult

    Raises
    ------
    FinblendError
        If the input is refused; nothing is written then.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FinblendError(f"{folder}: already exists and is not empty; choose another folder or remove it")
    photos: list[Path] = []
    if kaggle is not None:
        if train is not None or test is not None:
            raise FinblendError("--kaggle names the tables, too: give either --kaggle, or --train and --test")
        layout = kaggle_layout(kaggle)
        train, test, photos = layout.train, layout.test, layout.photos
    if train is None:
        raise FinblendError("give --train FILE, or --kaggle with the folder or zip of a competition")
    repairs = _repairs(species_map)
    catalogue, read = read_catalogue(train, test, encounters=encounters, split=split, repairs=repairs)
    assigned = _assign_folds(catalogue, folds, seed, hold_out, _name_of(train))
    frame = catalogue.frame.with_columns(
        fold=pl.concat(
            [
                pl.Series(assigned, dtype=pl.Int32),
                pl.Series([None] * (catalogue.frame.height - len(assigned)), dtype=pl.Int32),
            ]
        )
    )
    if test_species is not None:
        frame = _with_test_species(frame, test_species, repairs)
    catalogue = Catalogue(frame)
    balance = describe_folds(catalogue.train, catalogue.labels, catalogue.folds)
    result = InitResult(
        train_images=catalogue.train.height,
        individuals=len(catalogue.individuals),
        species=len(catalogue.species),
        test_images=catalogue.test.height,
        raw_species=read.raw_species,
        repairs=read.repairs,
        folds={str(fold): FoldCounts(photos, balance.strangers[fold]) for fold, photos in balance.photos.items()},
        new_share=sum(balance.strangers.values()) / catalogue.train.height,
        single_photo_individuals=balance.single_photo,
        single_encounter_individuals=balance.single_encounter,
        held_out_individuals=hold_out,
        encounters=catalogue.train["encounter"].drop_nulls().n_unique(),
        photos_without_encounter=catalogue.train["encounter"].null_count() if encounters else 0,
        straddling_encounters=balance.straddling_encounters,
        unused_encounters=read.unused_encounters,
        individuals_of_several_species=read.individuals_of_several_species,
        renamed_individuals=read.renamed_individuals,
        unlabelled_images=read.unlabelled_images,
        photos=[str(place) for place in photos],
        left_out=read.left_out,
        unused_split=read.unused_split,
        of_train_alone=read.of_train_alone,
        in_named_folders=read.in_named_folders,
    )
    settings = {
        "format": FORMAT,
        "finblend": finblend_version(),
        "python": platform.python_version(),
        "folds": folds,
        "encounters": encounters,
        "split": split,
        "seed": seed,
        "hold_out": hold_out,
        "test_species": test_species,
        "species_map": "a mapping" if isinstance(species_map, Mapping) else species_map and str(species_map),
        # the map itself: what is registered or merged later may write species as the tables did
        "species_repairs": dict(repairs),
        "train": str(train) if isinstance(train, (str, Path)) else "a frame",
        "test": str(test) if isinstance(test, (str, Path)) else "a frame" if test is not None else None,
        "kaggle": str(kaggle) if kaggle is not None else None,
        "report": result.as_dict(),
    }
    with folder_written_beside(folder) as temporary:
        catalogue.save(temporary / "catalogue.parquet")
        write_json(temporary / "project.json", settings)
    return result


def _name_of(train: TableLike) -> str:
    """The train table's name in error lines."""
    return str(train) if isinstance(train, (str, Path)) else "train"


def _repairs(species_map: str | Path | Mapping[str, str] | None) -> Mapping[str, str]:
    if species_map is None:
        return HAPPYWHALE_REPAIRS
    if isinstance(species_map, Mapping):
        return species_map
    return {} if str(species_map) == "none" else read_species_map(species_map)


def _assign_folds(catalogue: Catalogue, folds: int | str, seed: int, hold_out: int, name: str) -> np.ndarray:
    text = str(folds)
    if text.lstrip("-").isdecimal():
        assigned = make_folds(catalogue.train, int(text), seed, hold_out)
        if len(np.unique(assigned)) < int(text):
            raise FinblendError(f"--folds {text}: {_too_few(catalogue, hold_out)} cannot fill {text} folds")
        return assigned
    if hold_out:
        raise FinblendError(f"--hold-out {hold_out}: needs folds that are made here, but --folds {text} brings its own")
    return folds_from_values(catalogue.train["image"], column_of_file(text, catalogue.train, name), text)


def _too_few(catalogue: Catalogue, hold_out: int) -> str:
    """What there are too few of: an encounter stays in one fold, and a photo without one stands alone."""
    encounter = catalogue.train["encounter"]
    alone, encounters = encounter.null_count(), encounter.drop_nulls().n_unique()
    photos = f"{alone} labelled photo{'' if alone == 1 else 's'}"
    together = f"{encounters} encounter{'' if encounters == 1 else 's'}"
    if encounters:
        photos = f"{together} and {photos} without one" if alone else together
    # all photos of who is held out are in one fold
    return f"{photos} ({hold_out} held out)" if hold_out else photos


def _with_test_species(frame: pl.DataFrame, spec: str, repairs: Mapping[str, str]) -> pl.DataFrame:
    test = frame.filter(pl.col("split") == "test")
    given = column_of_file(spec, test, "test").with_columns(pl.col("value").replace(dict(repairs)))
    known = set(frame.filter(pl.col("split") == "train")["species"]) - {NO_SPECIES}
    strange = given.join(test, on="image", how="semi").filter(~pl.col("value").is_in(list(known)))
    if strange.height:
        raise FinblendError(
            f"{spec}: image {strange['image'][0]}: species '{strange['value'][0]}' "
            f"is not among train's ({shown(sorted(known))})"
        )
    if given.join(test, on="image", how="semi").is_empty():
        raise FinblendError(f"{spec}: names no test photo (columns {' or '.join(IMAGE_COLUMNS)} are compared)")
    joined = frame.select("image").join(given, on="image", how="left", maintain_order="left")["value"]
    chosen = pl.when(pl.col("split") == "test").then(joined).otherwise(pl.col("species"))
    return frame.with_columns(species=chosen)
