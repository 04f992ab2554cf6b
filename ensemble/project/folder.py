"""The project folder: the catalogue, the stores, the study, the blend."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from backbones.manifest import MANIFEST, Seen
from backbones.pair_store import PairStore
from backbones.store import Store
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from cv.files import read_json
from cv.species import HAPPYWHALE_REPAIRS

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

    @cached_property
    def species_repairs(self) -> dict[str, str]:
        """What a species name in a table or a store from elsewhere is repaired to: the map that `init` was given.

        Projects made before the map was kept have Happywhale's, and what `init` repaired. A name that the catalogue
        itself uses is never repaired.
        """
        repairs = self.settings.get("species_repairs")
        if repairs is None:
            done = (self.settings.get("report") or {}).get("repairs", [])
            repairs = {**HAPPYWHALE_REPAIRS, **{repair["raw"]: repair["repaired"] for repair in done}}
        return {raw: repaired for raw, repaired in repairs.items() if raw not in self.catalogue.species}

    @cached_property
    def photos_hash(self) -> str:
        """Hash of what out-of-fold rests on beside the embeddings: photos, individuals, species, folds."""
        train = self.catalogue.train.select("image", "individual_id", "species", "fold")
        return hashlib.sha256(train.write_csv().encode()).hexdigest()

    def pair_folder(self, name: str) -> Path:
        """Where a pair source lives."""
        return self.folder / "pairs" / name

    def feature_folder(self, features: str) -> Path:
        """Where local features of a kind live, whatever stands in its name."""
        return self.folder / "features" / re.sub(r"[^A-Za-z0-9._-]+", "-", features).strip(".-")

    def pair_stores(self) -> dict[str, PairStore]:
        """Every pair source by name, sorted."""
        manifests = sorted((self.folder / "pairs").glob(f"*/{MANIFEST}"))
        return {path.parent.name: PairStore(path.parent) for path in manifests if not path.parent.name.startswith(".")}

    def store_folder(self, model: str, seen: Seen) -> Path:
        """Where a store lives."""
        return self.folder / "stores" / model / str(seen)

    def stores(self) -> dict[str, dict[str, Store]]:
        """Every registered store: model name to `str(Seen)` to store, both sorted."""
        stores: dict[str, dict[str, Store]] = {}
        for manifest in sorted((self.folder / "stores").glob(f"*/*/{MANIFEST}")):
            folder = manifest.parent
            if not folder.name.startswith("."):
                stores.setdefault(folder.parent.name, {})[folder.name] = Store(folder)
        return stores
