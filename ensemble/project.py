"""The project folder: the catalogue, the stores, the study, the blend."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.store import MANIFEST, Seen, Store
from cv.catalogue import IMAGE_COLUMNS, NO_SPECIES, Catalogue, read_catalogue
from cv.errors import FinblendError, shown
from cv.files import folder_written_beside, read_json, write_json
from cv.folds import describe_folds, folds_from_values, make_folds
from cv.species import HAPPYWHALE_REPAIRS, read_species_map
from cv.tables import TableLike, column_of_file

FORMAT = 1
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Project:
    """An opened project folder.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Project:
        """Open a folder that `init` made.

        Raises
        ------
        FinblendError
            If it is none, or another finblend's.
        """
        project = cls(Path(folder))
        if not project.settings_path.is_file():
            raise FinblendError(
                f"{folder}: is not a finblend project; make one with 'finblend init {folder} --train ...'"
            )
        if project.settings.get("format") != FORMAT:
            raise FinblendError(
                f"{project.settings_path}: format {project.settings.get('format')}, this finblend reads {FORMAT}"
            )
        return project

    @property
    def settings_path(self) -> Path:
        """What `init` was told and found."""
        return self.folder / "project.json"

    @property
    def blend_path(self) -> Path:
        """The blend that `tune` chose."""
        return self.folder / "blend.json"

    @property
    def study_path(self) -> Path:
        """Optuna's journal of every trial."""
        return self.folder / "study.journal"

    @property
    def cache(self) -> Path:
        """Computed things; safe to delete."""
        return self.folder / "cache"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings file."""
        value = read_json(self.settings_path)
        if not isinstance(value, dict):
            raise FinblendError(f"{self.settings_path}: is not a project's settings")
        return value

    @cached_property
    def catalogue(self) -> Catalogue:
        """The photos."""
        return Catalogue.load(self.folder / "catalogue.parquet")

    @property
    def repairs(self) -> dict[str, str]:
        """Species names that `init` repaired, and what they became."""
        report = self.settings.get("report") or {}
        return {repair["raw"]: repair["repaired"] for repair in report.get("repairs", [])}

    @cached_property
    def photos_hash(self) -> str:
        """Hash of what out-of-fold rests on beside the embeddings: photos, individuals, species, folds."""
        train = self.catalogue.train.select("image", "individual_id", "species", "fold")
        return hashlib.sha256(train.write_csv().encode()).hexdigest()

    def store_folder(self, model: str, seen: Seen) -> Path:
        """Where a store lives."""
        return self.folder / "stores" / model / str(seen)

    def stores(self) -> dict[str, dict[str, Store]]:
        """Every registered store: model name to `str(Seen)` to store, both sorted."""
        found: dict[str, dict[str, Store]] = {}
        for manifest in sorted((self.folder / "stores").glob(f"*/*/{MANIFEST}")):
            folder = manifest.parent
            if not folder.name.startswith("."):
                found.setdefault(folder.parent.name, {})[folder.name] = Store(folder)
        return found


# what a project's folder holds of its own: no output may take their names
OWN = ("project.json", "catalogue.parquet", "blend.json", "study.journal", "commands.jsonl")
OWN_FOLDERS = ("stores", "cache", "pseudo")


def refuse_output(output: Path) -> None:
    """Before anything is computed: a file that cannot be written, or would take the place of a project's own."""
    if output.is_dir():
        raise FinblendError(f"{output}: is a folder; -o names the file to write")
    if not output.parent.is_dir():
        raise FinblendError(f"{output}: the folder {output.parent} does not exist")
    path = output.resolve()
    for folder in path.parents:
        inside = path.relative_to(folder).parts
        own = inside[0] in OWN_FOLDERS if len(inside) > 1 else inside[0] in OWN
        if own and (folder / OWN[0]).is_file():
            raise FinblendError(f"{output}: belongs to the project {folder} itself; -o names a file of yours")


def init(
    folder: str | Path,
    *,
    train: TableLike,
    test: TableLike | None = None,
    folds: int | str = 5,
    encounters: str | None = None,
    test_species: str | None = None,
    species_map: str | Path | Mapping[str, str] | None = None,
    seed: int = 0,
    hold_out: int = 0,
) -> dict[str, Any]:
    """Make a project: read and repair the catalogue, assign folds.

    Parameters
    ----------
    folder : str or Path
        A folder that does not exist yet, or is empty.
    train, test : path, polars.DataFrame or pandas.DataFrame
        See `cv.read_catalogue`.
    folds : int or str
        A number of folds, or `FILE:COLUMN` with folds that a team already has.
    encounters : str, optional
        `FILE:COLUMN`, or a column of the train table: photos of one sighting share a value and never straddle folds.
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
    dict
        `train_images, individuals, species, test_images`, the repairs, the folds, and what makes strangers.

    Raises
    ------
    FinblendError
        If the input is refused; nothing is written then.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FinblendError(f"{folder}: already exists and is not empty; choose another folder or remove it")
    catalogue, found = read_catalogue(train, test, encounters=encounters, repairs=_repairs(species_map))
    assigned = _assign_folds(catalogue, folds, seed, hold_out, _called(train))
    frame = catalogue.frame.with_columns(
        fold=pl.concat(
            [
                pl.Series(assigned, dtype=pl.Int32),
                pl.Series([None] * (catalogue.frame.height - len(assigned)), dtype=pl.Int32),
            ]
        )
    )
    if test_species is not None:
        frame = _with_test_species(frame, test_species, _repairs(species_map))
    catalogue = Catalogue(frame)
    balance = describe_folds(catalogue.train, catalogue.labels, catalogue.folds)
    report: dict[str, Any] = {
        "train_images": catalogue.train.height,
        "individuals": len(catalogue.individuals),
        "species": len(catalogue.species),
        "test_images": catalogue.test.height,
        "raw_species": found.raw_species,
        "repairs": [asdict(repair) for repair in found.repairs],
        "folds": {str(fold): {"photos": n, "strangers": balance.strangers[fold]} for fold, n in balance.photos.items()},
        "new_share": sum(balance.strangers.values()) / catalogue.train.height,
        "single_photo_individuals": balance.single_photo,
        "single_encounter_individuals": balance.single_encounter,
        "held_out_individuals": hold_out,
        "encounters": catalogue.train["encounter"].drop_nulls().n_unique(),
        "photos_without_encounter": catalogue.train["encounter"].null_count() if encounters else 0,
        "straddling_encounters": balance.straddling_encounters,
        "unused_encounters": found.unused_encounters,
        "individuals_of_several_species": found.individuals_of_several_species,
        "renamed_individuals": found.renamed_individuals,
        "unlabelled_images": found.unlabelled_images,
    }
    settings = {
        "format": FORMAT,
        "finblend": finblend_version(),
        "python": platform.python_version(),
        "folds": folds,
        "encounters": encounters,
        "seed": seed,
        "hold_out": hold_out,
        "test_species": test_species,
        "species_map": "a mapping" if isinstance(species_map, Mapping) else species_map and str(species_map),
        "train": str(train) if isinstance(train, (str, Path)) else "a frame",
        "test": str(test) if isinstance(test, (str, Path)) else "a frame" if test is not None else None,
        "report": report,
    }
    with folder_written_beside(folder) as temporary:
        catalogue.save(temporary / "catalogue.parquet")
        write_json(temporary / "project.json", settings)
    return report


def finblend_version() -> str:
    """The installed version."""
    try:
        return version("finblend")
    except PackageNotFoundError:
        return "not installed"


def _called(train: TableLike) -> str:
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
            raise FinblendError(f"--folds {text}: there are not enough encounters to fill {text} folds")
        return assigned
    if hold_out:
        raise FinblendError(f"--hold-out {hold_out}: needs folds that are made here, but --folds {text} brings its own")
    return folds_from_values(catalogue.train["image"], column_of_file(text, catalogue.train, name), text)


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
