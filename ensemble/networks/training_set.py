"""The labelled photos that one network may be trained on: never those of its own fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.manifest import Seen
from cv.errors import FinblendError
from cv.pseudo_labels import PseudoLabels, read_pseudo_labels
from ensemble.networks.photos import PhotoFiles
from ensemble.project.folder import Project
from ensemble.project.pseudo_rounds import NAME, named_round


@dataclass(frozen=True)
class TrainingSet:
    """The labelled photos that one network may see.

    Attributes
    ----------
    images, files : list of str
    boxes : list of list of Box or None
    individuals : (n,) int array
        Index into `classes`.
    species : (n,) int array
        Index into the catalogue's species.
    classes : list of str
    pseudo : int
        How many of the photos carry pseudo-labels.
    """

    images: list[str]
    files: list[str]
    boxes: list[list[Any]]
    individuals: np.ndarray
    species: np.ndarray
    classes: list[str]
    pseudo: int


def training_set(
    project: Project, photos: PhotoFiles, seen: Seen, pseudo: str | None, pseudo_min: float
) -> TrainingSet:
    """Gather a network's training photos.

    Parameters
    ----------
    project : Project
    photos : PhotoFiles
    seen : Seen
        What the network shall have seen.
    pseudo : str or None
        File of pseudo-labels; `{fold}` in it stands for `str(seen)`. Or `round-N`, a merged round.
    pseudo_min : float
        Least confidence.
    """
    catalogue = project.catalogue
    labelled = catalogue.train.select("image", "individual_id", "species", "fold", pseudo=pl.lit(False))
    if seen.fold is not None:
        labelled = labelled.filter(pl.col("fold") != seen.fold)
    labelled = labelled.drop("fold")
    if pseudo is not None:
        labels, name = _pseudo_labels(project, seen, pseudo, pseudo_min)
        added = labels.frame.join(
            labelled.unique("individual_id", keep="first", maintain_order=True).select("individual_id", "species"),
            "individual_id",
            "left",
        )
        strange = added.filter(pl.col("species").is_null())
        if strange.height:
            raise FinblendError(
                f"--pseudo {name}: image {strange['image'][0]}: individual {strange['individual_id'][0]} has photos in "
                f"{seen} only, so these labels have seen it"
            )
        labelled = pl.concat([labelled, added.select("image", "individual_id", "species", pseudo=pl.lit(True))])
    places = pl.DataFrame({"image": photos.names, "file": photos.files}).with_row_index("place")
    labelled = labelled.join(places, on="image", how="left", maintain_order="left")
    labelled = labelled.filter(pl.col("file").is_not_null())
    if labelled.is_empty():
        raise FinblendError(f"none of the training photos of {seen} is there")
    classes = labelled["individual_id"].unique().sort().to_list()
    return TrainingSet(
        images=labelled["image"].to_list(),
        files=labelled["file"].to_list(),
        boxes=[[crop[place] for place in labelled["place"]] for crop in photos.boxes],
        individuals=np.searchsorted(classes, labelled["individual_id"].to_numpy()),
        species=np.searchsorted(catalogue.species, labelled["species"].to_numpy()),
        classes=classes,
        pseudo=int(labelled["pseudo"].sum()),
    )


def _pseudo_labels(project: Project, seen: Seen, pseudo: str, least: float) -> tuple[PseudoLabels, str]:
    """A network's pseudo-labels, refused where they may have seen what it must not; and where they came from."""
    if NAME.fullmatch(pseudo) and not Path(pseudo).exists():
        merged = named_round(project, pseudo)
        merged.set_for(project, str(seen))
        name = str(merged.folder / f"{seen}.csv")
    else:
        name = pseudo.replace("{fold}", str(seen))
    labels = read_pseudo_labels(Path(name), project.catalogue, least)
    labels.refuse_for(str(seen), project.photos_hash, name)
    return labels, name
