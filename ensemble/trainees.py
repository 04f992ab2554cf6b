"""The labelled photos that one network may be trained on: never those of its own fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.store import Seen
from cv.pseudo_labels import read_pseudo_labels
from ensemble.project import Project
from ensemble.sightings import Sightings


@dataclass(frozen=True)
class Trainees:
    """The labelled photos that one network may see.

    Attributes
    ----------
    files : list of str
    boxes : list of list of Box or None
    individuals : (n,) int array
        Index into `classes`.
    species : (n,) int array
        Index into the catalogue's species.
    classes : list of str
    pseudo : int
        How many of the photos carry pseudo-labels.
    """

    files: list[str]
    boxes: list[list[Any]]
    individuals: np.ndarray
    species: np.ndarray
    classes: list[str]
    pseudo: int


def trainees_of(project: Project, photos: Sightings, seen: Seen, pseudo: str | None, pseudo_min: float) -> Trainees:
    """Gather a network's training photos.

    Parameters
    ----------
    project : Project
    photos : Sightings
    seen : Seen
        What the network shall have seen.
    pseudo : str or None
        File of pseudo-labels; `{fold}` in it stands for `str(seen)`.
    pseudo_min : float
        Least confidence.
    """
    catalogue = project.catalogue
    rows = pl.DataFrame({"image": photos.names}).with_row_index("place")
    told = catalogue.train.select("image", "individual_id", "fold")
    if seen.fold is not None:
        told = told.filter(pl.col("fold") != seen.fold)
    told = told.select("image", "individual_id")
    added = 0
    if pseudo is not None:
        name = pseudo.replace("{fold}", str(seen))
        labels = read_pseudo_labels(Path(name), catalogue, pseudo_min)
        labels.refuse_for(str(seen), project.photos_hash, name)
        told = pl.concat([told, labels.frame.select("image", "individual_id")])
        added = labels.frame.height
    told = told.join(rows, on="image", how="left", maintain_order="left")
    there = np.array([photos.files[place] is not None for place in told["place"]], dtype=bool)
    told = told.filter(pl.Series(there))
    classes = told["individual_id"].unique().sort().to_list()
    number = {name: index for index, name in enumerate(classes)}
    places = told["place"].to_list()
    every = {name: index for index, name in enumerate(catalogue.individuals)}
    of_individual = catalogue.species_of_individual
    return Trainees(
        files=[str(photos.files[place]) for place in places],
        boxes=[[crop[place] for place in places] for crop in photos.boxes],
        individuals=np.array([number[name] for name in told["individual_id"]], dtype=np.int64),
        species=np.array([of_individual[every[name]] for name in told["individual_id"]], dtype=np.int64),
        classes=classes,
        pseudo=added,
    )
