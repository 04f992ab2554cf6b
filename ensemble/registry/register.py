"""Register a model's embeddings: read, match by image name, check, write the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from backbones.align import align, contradicting_labels
from backbones.embeddings import Embeddings, as_embeddings
from backbones.formats import read_embeddings
from backbones.store import Store
from cv.errors import FinblendError
from cv.files import refuse_no_file, sha256_of
from ensemble.project.folder import Project
from ensemble.project.version import finblend_version
from ensemble.registry import predicted_logits as logits
from ensemble.registry.predicted_species import NAME as SPECIES
from ensemble.registry.predicted_species import species_shares, why_unusable
from ensemble.registry.stores import check_place, put, refuse_weights_elsewhere, seen_by


def register(
    folder: str | Path,
    model: str,
    *,
    train: Any,
    test: Any,
    fold: int | None = None,
    frozen: bool = False,
    full: bool = False,
    train_names: str | Path | None = None,
    test_names: str | Path | None = None,
    view: str | None = None,
    labels: str | Path | None = None,
    weights: str | Path | None = None,
    transform: str | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Register the embeddings that one network made of every train and test photo.

    Parameters
    ----------
    folder : str or Path
        The project.
    model : str
        Its name: letters, digits, `.`, `_`, `-`.
    train, test : path, (images, array), (images, {view: array}), polars or pandas frame, or Embeddings
        As a path: `FILE`, `FILE:KEY` or a pattern of `.npy` shards.
    fold, frozen, full : int, bool, bool
        Exactly one: what the network had seen: every label but this fold's; no label of this catalogue; every label.
    train_names, test_names : path, optional
        `FILE` or `FILE:KEY` with the image name of each row, for files that hold none.
    view : str, optional
        Name of the view, where there is one; "orig" by default. A store that is there without this view gets it added.
    labels : path, optional
        The order of classes that `pred_idx` counts in; kept beside the store.
    weights : path, optional
        The network's weights; their hash is kept, so that one network is not registered as having seen two things.
    transform : str, optional
        How photos were shown to the network; kept as it is.
    replace : bool
        Replace a store that is there.

    Returns
    -------
    dict
        `model, seen, views, train_images, test_images, warnings`.

    Raises
    ------
    FinblendError
        If anything does not fit; the project stays as it was.
    """
    project = Project.open(folder)
    seen = seen_by(project, fold, frozen, full)
    there = check_place(project, model, seen, None if view is None else [view], replace=replace)
    same_file = isinstance(train, (str, Path)) and str(train) == str(test)
    splits, warnings = {}, []
    for split, given, names in (("train", train, train_names), ("test", test, test_names)):
        embeddings = _read(given, split, names)
        photos = project.catalogue.train if split == "train" else project.catalogue.test
        # one file given for both splits holds both; otherwise a photo of the other split is a mistake
        rest = frozenset(project.catalogue.frame["image"]) if same_file else _unlabelled(project)
        embeddings = embeddings.named(view) if view else embeddings
        aligned = align(embeddings, photos, split, rest - set(photos["image"]), _numbered(project, split))
        if split == "train" and aligned.labels is not None:
            wrong = contradicting_labels(aligned.labels, photos["individual_id"].to_list())
            if wrong:
                warnings.append(
                    f"{embeddings.source}: its labels contradict the catalogue's individuals on {wrong} photos; "
                    "were its rows numbered in another table?"
                )
        if SPECIES in aligned.predictions:
            told = aligned.predictions[SPECIES]
            reason = why_unusable(told, project.catalogue) if split == "train" else None
            if split == "test" and species_shares(told, project.catalogue.species) is None:
                reason = "are not among the catalogue's species"
            if reason:
                warnings.append(f"{embeddings.source}: {SPECIES} {reason}: kept, but not used")
        splits[split] = aligned
    facts: dict[str, Any] = {
        "weights_sha256": sha256_of(Path(weights)) if weights else there and there.manifest.weights_sha256,
        "transform": transform,
        "sources": {
            split: str(given) for split, given in (("train", train), ("test", test)) if isinstance(given, (str, Path))
        },
        "made_by": finblend_version(),
    }
    if labels:
        refuse_no_file(Path(labels))
    class_order = Path(labels).read_bytes() if labels else None
    refuse_weights_elsewhere(project, facts["weights_sha256"], model, seen)
    attachments = {} if class_order is None else {f"classes{Path(str(labels)).suffix}": class_order}
    manifest = put(project, model, seen, splits, facts, there=there, attachments=attachments)
    if logits.LOGIT in manifest.predictions:
        reason = logits.why_unusable(Store(project.store_folder(model, seen)), project.catalogue)
        warnings += [f"{model}: {logits.INDEX} and {logits.LOGIT} {reason}: kept, but not used"] if reason else []
    return {
        "model": model,
        "seen": str(seen),
        "views": manifest.views,
        "train_images": manifest.photos["train"],
        "test_images": manifest.photos["test"],
        "predictions": manifest.predictions,
        "warnings": warnings,
    }


def _read(given: Any, split: str, names: str | Path | None) -> Embeddings:
    if isinstance(given, (str, Path)):
        return read_embeddings(given, split, names)
    if names is not None:
        raise FinblendError(f"--{split}-names goes with a file; give arrays as (images, array)")
    return as_embeddings(given, split)


def _numbered(project: Project, split: str) -> pl.DataFrame:
    """The photos of the table that a split came from: with no test table, train's holds both."""
    frame = project.catalogue.frame
    if project.settings.get("test") is None:
        return frame
    own = frame["split"] == "test"
    return frame.filter(own if split == "test" else ~own)


def _unlabelled(project: Project) -> frozenset[str]:
    frame = project.catalogue.frame
    return frozenset(frame.filter(frame["split"] == "unlabelled")["image"])
