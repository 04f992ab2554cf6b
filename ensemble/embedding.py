"""`finblend embed`: a project's photos through a network with weights from elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones.store import Seen, hash_of_names
from cv.errors import FinblendError
from ensemble.extraction import Extraction, How, Progress
from ensemble.project import Project
from ensemble.shelf import place_for, seen_by
from ensemble.sightings import sightings_of

if TYPE_CHECKING:
    from backbones.adapters import Backbone
    from backbones.weights import Origin

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def embed(
    folder: str | Path,
    model: str,
    *,
    backbone: str,
    images: Sequence[str | Path],
    weights: str | Path = "hub",
    fold: int | None = None,
    frozen: bool = False,
    full: bool = False,
    boxes: Sequence[str] = (),
    crops: Sequence[str] = (),
    box_form: str = "auto",
    size: tuple[int, int] | None = None,
    normalise: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Embed every train and test photo with one network and register the embeddings.

    A call that was killed goes on where it was: finished batches are kept in the project's cache until the store is
    complete.

    Parameters
    ----------
    folder : str or Path
        The project.
    model : str
        Name of the model.
    backbone : str
        See `backbones.adapters.build_backbone`.
    images : sequence of path
        Folders that hold the photos.
    weights : str or path
        A file, a folder of a training run, "hub" or "random"; see `backbones.weights.fill`.
    fold, frozen, full
        Exactly one: what the network had seen; as for `register`.
    boxes, crops, box_form
        See `ensemble.sightings.sightings_of`.
    size : (int, int), optional
        Height and width; by default those the network was trained at.
    normalise : {"imagenet", "half"}, optional
        Instead of the network's own: ImageNet's mean and std, or 0.5 for both.
    replace : bool
        Replace a store that is there.
    progress : callable, optional
        Gets what is done, how much of it was just done, and of how much.
    **how
        Fields of `ensemble.extraction.How`.

    Returns
    -------
    dict
        What `Extraction.to_shelf` tells, and `warnings`.
    """
    require_backbones()
    project = Project.open(folder)
    seen = seen_by(project, fold, frozen, full)
    options = How(**how)
    photos = sightings_of(project, images, boxes, crops, box_form)
    from backbones.extraction.views import views_of

    place_for(project, model, seen, [view.name for view in views_of(options.views, photos.crops)], replace=replace)
    from backbones.adapters import build_backbone
    from backbones.weights import fill, origin_of

    origin = origin_of(str(weights))
    size = size or (None if origin is None else (origin.height, origin.width))
    network = normalised(build_backbone(backbone, size), normalise)
    warnings = what_it_saw(project, origin, seen, str(weights))
    filled = fill(network, str(weights))
    if filled.untrained:
        warnings.append(f"{', '.join(filled.untrained)}: never trained, still as drawn at random")
    extraction = Extraction(project, model, seen, network, backbone, filled, photos, options)
    return {**extraction.to_shelf(replace=replace, progress=progress), "warnings": warnings}


def require_backbones() -> None:
    """Refuse, with the install line, where the libraries that read photos and run networks are absent."""
    from backbones.vision import load

    for name in ("PIL", "torch", "timm"):
        load(name)


def normalised(backbone: Backbone, normalise: str | None) -> Backbone:
    """Replace a network's own normalisation by a named one."""
    if normalise is None:
        return backbone
    if normalise not in NORMALISATIONS:
        raise FinblendError(f"--normalise must be one of {', '.join(NORMALISATIONS)}, but got '{normalise}'")
    mean, std = NORMALISATIONS[normalise]
    return dataclasses.replace(backbone, mean=mean, std=std)


def catalogue_marks(project: Project) -> dict[str, str]:
    """What a trained network keeps of the catalogue: hashes of its labels and folds, and of its photos' names."""
    return {"labels": project.photos_hash, "images": hash_of_names(sorted(project.catalogue.train["image"]))}


def what_it_saw(
    project: Project, origin: Origin | None, seen: Seen, weights: str, *, starting: bool = False
) -> list[str]:
    """Refuse a network whose own word on what it has seen differs from what is said of it.

    Parameters
    ----------
    project : Project
    origin : Origin or None
        What the weights say of themselves; None where finblend did not train them.
    seen : Seen
        What is said of the network, or what it shall become.
    weights : str
        For the error line.
    starting : bool
        The weights are where a training starts: a network that shall see everything may have seen anything.

    Returns
    -------
    list of str
        Warnings.
    """
    if origin is None or (starting and seen.kind == "full"):
        return []
    marks = catalogue_marks(project)
    if origin.labels == marks["labels"]:
        if origin.seen != str(seen):
            raise FinblendError(f"--weights {weights}: was trained as {origin.seen} of this catalogue, not as {seen}")
        return []
    if origin.images == marks["images"]:
        if seen.kind != "full":
            raise FinblendError(
                f"--weights {weights}: was trained on these photos with other labels or folds; "
                "it can only be --full here"
            )
        return []
    return [f"--weights {weights}: was trained on another catalogue; make sure that it shares no photo with this one"]
