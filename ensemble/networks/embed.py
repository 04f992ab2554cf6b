"""`finblend embed`: a project's photos through a network with weights from elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.adapters.contract import IMAGENET_MEAN, IMAGENET_STD
from backbones.manifest import Seen
from cv.errors import FinblendError
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.networks.extraction import Extraction, ExtractionOptions
from ensemble.networks.photos import find_photo_files
from ensemble.networks.results import EmbedResult
from ensemble.networks.shards import embedded_on
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.stores import check_place, held_place, seen_by

if TYPE_CHECKING:
    from backbones.adapters import Backbone
    from backbones.local_features import LocalExtractor
    from backbones.weights import Origin

NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
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
    engine: str | Engine = "here",
    progress: Progress | None = None,
    **options: Any,
) -> EmbedResult:
    """Embed every train and test photo with one network and register the embeddings.

    A call that was killed goes on where it was: finished batches are kept in the project's cache until the store is
    complete. Two calls for one store at once are refused.

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
        See `ensemble.networks.photos.find_photo_files`.
    size : (int, int), optional
        Height and width; by default those the network was trained at.
    normalise : {"imagenet", "half"}, optional
        Instead of the network's own: ImageNet's mean and std, or 0.5 for both.
    replace : bool
        Replace a store that is there.
    engine : str or Engine
        Where photos are embedded, see `ensemble.engine.engines.engine_of`.
    progress : callable, optional
        Gets what is done, how much of it was just done, and of how much.
    **options
        Fields of `ensemble.networks.extraction.ExtractionOptions`.

    Returns
    -------
    EmbedResult
    """
    engine = engine_of(engine)
    require_backbones()
    project = Project.open(folder)
    seen = seen_by(project, fold, frozen, full)
    extraction_options = ExtractionOptions(**options)
    photos = find_photo_files(project, images, boxes, crops, box_form)
    from backbones.adapters import build_backbone
    from backbones.extraction.views import views_of
    from backbones.weights import fill, origin_of

    views = [view.name for view in views_of(extraction_options.views, photos.crops)]
    check_place(project, model, seen, views, replace=replace)
    with held_place(project, model, seen):
        origin = origin_of(str(weights))
        size = size or (None if origin is None else (origin.height, origin.width))
        network = normalised(build_backbone(backbone, size), normalise, origin)
        warnings = check_labels_seen(project, origin, seen, str(weights))
        filled = fill(network, str(weights))
        if filled.terms:
            warnings.append(filled.terms)
        if filled.untrained:
            warnings.append(f"{', '.join(filled.untrained)}: never trained, still as drawn at random")
        extraction = Extraction(
            project=project,
            model=model,
            seen=seen,
            backbone=network,
            name=backbone,
            filled=filled,
            photos=photos,
            options=extraction_options,
            elsewhere=None if engine.cpus is None else partial(embedded_on, engine),
        )
        extracted = extraction.extract_and_register(replace=replace, progress=progress)
    return EmbedResult(**vars(extracted), warnings=warnings)


def require_backbones() -> None:
    """Refuse, with the install line, where the libraries that read photos and run networks are absent."""
    from backbones.vision import load

    for name in ("PIL", "torch", "timm"):
        load(name)


def normalised(backbone: Backbone, normalise: str | None, origin: Origin | None) -> Backbone:
    """Replace a network's own normalisation by a named one, or by the one that finblend trained it with."""
    if normalise is None:
        mean, std = (backbone.mean, backbone.std) if origin is None else origin.normalisation
    elif normalise in NORMALISATIONS:
        mean, std = NORMALISATIONS[normalise]
    else:
        raise FinblendError(f"--normalise must be one of {', '.join(NORMALISATIONS)}, but got '{normalise}'")
    return dataclasses.replace(backbone, mean=mean, std=std)


def check_features_seen(project: Project, extractor: LocalExtractor, seen: Seen | None = None) -> list[str]:
    """Refuse local features of a network that was trained on a label that they are said never to have seen.

    Parameters
    ----------
    project : Project
    extractor : LocalExtractor
        One that was trained by finblend has its network's `origin`; others (SIFT, DISK, ALIKED) have seen no label.
    seen : Seen, optional
        What is said of the features: frozen by default. `Seen("fold", K)` where they are asked for fold K's photos and
        in fold K's space alone.

    Returns
    -------
    list of str
        Warnings.
    """
    origin = getattr(extractor, "origin", None)
    return check_labels_seen(project, origin, seen or Seen("frozen"), extractor.name, "--features")


def check_labels_seen(
    project: Project, origin: Origin | None, seen: Seen, weights: str, option: str = "--weights"
) -> list[str]:
    """Refuse a network that was trained on a label that it is said never to have seen; warn of another catalogue.

    A network that finblend trained keeps a mark of every labelled photo that it, or a network it started from, was
    trained on.

    Parameters
    ----------
    project : Project
    origin : Origin or None
        What the weights say of themselves; None where finblend did not train them.
    seen : Seen
        What is said of the network, or what a network that starts from it shall become.
    weights, option : str
        For the error line.

    Returns
    -------
    list of str
        Warnings.
    """
    from backbones.weights.saved import IMAGE_DIGITS, label_marks

    if origin is None or seen.kind == "full":
        return []
    train = project.catalogue.train
    marks = label_marks(train["image"], train["individual_id"])
    trained_on = frozenset(origin.labels.split())
    shared = np.array([mark in trained_on for mark in marks], dtype=bool)
    forbidden = shared if seen.fold is None else shared & (project.catalogue.folds == seen.fold)
    if forbidden.any():
        example = train["image"][int(forbidden.argmax())]
        raise FinblendError(
            f"{option} {weights}: was trained as {origin.seen} and has seen {forbidden.sum()} labels that a {seen} "
            f"network has not, such as that of {example}"
        )
    if shared.any():
        return []
    names = {mark[:IMAGE_DIGITS] for mark in trained_on}
    alike = sum(mark[:IMAGE_DIGITS] in names for mark in marks)
    hint = f"it has {alike} photos of the same names" if alike else "make sure that it shares no photo with this one"
    return [f"{option} {weights}: was trained on another catalogue; {hint}"]
