"""Rounds: pseudo-labels merged into a project, each set of names with the ledger that says where it came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cv.errors import FinblendError
from cv.files import read_json, sha256_of
from cv.pseudo_labels import PseudoLabels, read_pseudo_labels
from ensemble.project.folder import Project

KINDS = ("training", "gallery")
LEDGER = "ledger.json"
NAME = re.compile(r"round-[1-9][0-9]*")


@dataclass(frozen=True)
class PseudoLabelRound:
    """One merged round.

    Attributes
    ----------
    folder : Path
        `round-N`, with `full.csv`, a `fold-K.csv` a fold unless it came from elsewhere, and the ledger.
    ledger : mapping
        See `ensemble.merge`.
    """

    folder: Path
    ledger: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`training` or `gallery`."""
        return str(self.ledger["kind"])

    @property
    def number(self) -> int:
        """N."""
        return int(self.folder.name.removeprefix("round-"))

    def set_for(self, project: Project, seen: str) -> PseudoLabels:
        """The names for one network or gallery, refused unless they are the very ones that were merged for it.

        Parameters
        ----------
        project : Project
        seen : str
            `fold-K` or `full`.
        """
        path = self.folder / f"{seen}.csv"
        known = self.ledger["sets"].get(seen)
        if known is None:
            raise FinblendError(
                f"{self.folder}: has no set for {seen}: its labels came from elsewhere, and may have seen it"
            )
        if not path.is_file() or sha256_of(path) != known["sha256"]:
            raise FinblendError(f"{path}: is not the file that was merged for {seen} ({LEDGER} knows its hash)")
        labels = read_pseudo_labels(path, project.catalogue)
        labels.refuse_for(seen, project.photos_hash, str(path), flag="")
        return labels


def rounds(project: Project) -> list[PseudoLabelRound]:
    """Every merged round, oldest first."""
    found = []
    for folder in (project.folder / "pseudo").glob("round-*"):
        if NAME.fullmatch(folder.name):
            ledger = read_json(folder / LEDGER)
            whole = isinstance(ledger, dict) and isinstance(ledger.get("sets"), dict) and ledger.get("kind") in KINDS
            if not whole:
                raise FinblendError(f"{folder / LEDGER}: is not a round's ledger")
            found.append(PseudoLabelRound(folder, ledger))
    return sorted(found, key=lambda merged: merged.number)


def named_round(project: Project, name: str) -> PseudoLabelRound:
    """The round called `round-N`."""
    for one in rounds(project):
        if one.folder.name == name:
            return one
    there = ", ".join(one.folder.name for one in rounds(project))
    raise FinblendError(f"{project.folder}: has no {name}; it has {there or 'no merged pseudo-labels'}")


@dataclass(frozen=True)
class AddedPhotos:
    """Named test photos in a gallery.

    Attributes
    ----------
    rows : (m,) int64 array
        Of the test photos, ascending.
    labels : (m,) int32 array
        Index into the catalogue's individuals.
    """

    rows: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, project: Project, frame: pl.DataFrame) -> AddedPhotos:
        """From the rows of pseudo-labels."""
        catalogue = project.catalogue
        place = {image: row for row, image in enumerate(catalogue.test_images)}
        rows = np.array([place[image] for image in frame["image"]], dtype=np.int64)
        labels = np.searchsorted(catalogue.individuals, frame["individual_id"].to_numpy()).astype(np.int32)
        order = np.argsort(rows)
        return cls(rows[order], labels[order])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of who is added."""
        return hashlib.sha256(self.rows.astype("<i8").tobytes() + self.labels.astype("<i4").tobytes()).hexdigest()


@dataclass(frozen=True)
class GalleryAdditions:
    """Test photos that are in the gallery: of fold K's queries those of the set for fold K, of test those for `full`.

    Attributes
    ----------
    sets : mapping of `fold-K` or `full` to AddedPhotos
    """

    sets: Mapping[str, AddedPhotos]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all sets; empty where no photo is added."""
        told = {seen: added.fingerprint for seen, added in sorted(self.sets.items())}
        return hashlib.sha256(json.dumps(told).encode()).hexdigest() if told else ""


def gallery_of(project: Project) -> GalleryAdditions:
    """The latest round that was merged into the gallery; a photo has one name, so earlier ones are replaced."""
    merged = [one for one in rounds(project) if one.kind == "gallery"]
    if not merged:
        return GalleryAdditions({})
    latest = merged[-1]
    return GalleryAdditions(
        {seen: AddedPhotos.of(project, latest.set_for(project, seen).frame) for seen in latest.ledger["sets"]}
    )
