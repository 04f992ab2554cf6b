"""Register a model's embeddings: read, match by image name, check, write the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backbones.align import align, contradicting_labels, named_by_path
from backbones.embeddings import Embeddings, as_embeddings
from backbones.formats import read_embeddings
from backbones.store import Store
from cv.errors import FinblendError
from cv.files import refuse_no_file, sha256_of
from ensemble.project.folder import Project
from ensemble.project.result import Result
from ensemble.project.version import finblend_version
from ensemble.registry.predicted_logits import INDEX, LOGIT, why_logits_unusable
from ensemble.registry.predicted_species import SPECIES, species_shares, why_species_unusable
from ensemble.registry.stores import add_store, check_place, refuse_weights_elsewhere, seen_by


@dataclass(frozen=True, kw_only=True)
class RegisterResult(Result):
    """A registered store.

    Attributes
    ----------
    model : str
    seen : str
        `frozen`, `fold-K` or `full`.
    views : mapping of view to width
    train_images, test_images : int
    predictions : list of str
        What the network said beside its embeddings.
    warnings : list of str
    """

    model: str
    seen: str
    views: Mapping[str, int]
    train_images: int
    test_images: int
    predictions: list[str]
    warnings: list[str]


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
) -> RegisterResult:
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
    RegisterResult

    Raises
    ------
    FinblendError
        If anything does not fit; the project stays as it was.
    """
    project = Project.open(folder)
    seen = seen_by(project, fold, frozen, full)
    existing = check_place(project, model, seen, None if view is None else [view], replace=replace)
    same_file = isinstance(train, (str, Path)) and str(train) == str(test)
    splits, warnings = {}, []
    for split, given, names in (("train", train, train_names), ("test", test, test_names)):
        embeddings = named_by_path(_read(given, split, names), project.catalogue.frame)
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
            reason = _species_unusable(project, split, aligned.predictions[SPECIES])
            if reason:
                warnings.append(f"{embeddings.source}: {SPECIES} {reason}: kept, but not used")
        splits[split] = aligned
    facts: dict[str, Any] = {
        "weights_sha256": sha256_of(Path(weights)) if weights else existing and existing.manifest.weights_sha256,
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
    manifest = add_store(project, model, seen, splits, facts, existing=existing, attachments=attachments)
    if LOGIT in manifest.predictions:
        reason = why_logits_unusable(Store(project.store_folder(model, seen)), project.catalogue)
        warnings += [f"{model}: {INDEX} and {LOGIT} {reason}: kept, but not used"] if reason else []
    return RegisterResult(
        model=model,
        seen=str(seen),
        views=manifest.views,
        train_images=manifest.photos["train"],
        test_images=manifest.photos["test"],
        predictions=manifest.predictions,
        warnings=warnings,
    )


def _species_unusable(project: Project, split: str, predicted: np.ndarray) -> str | None:
    """Why predicted species are kept and not used, or None: the train photos' are compared with what is known."""
    catalogue, repairs = project.catalogue, project.species_repairs
    if split == "train":
        return why_species_unusable(predicted, catalogue, repairs)
    fits = species_shares(predicted, catalogue.species, repairs) is not None
    return None if fits else "are not among the catalogue's species"


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
    in_test = frame["split"] == "test"
    return frame.filter(in_test if split == "test" else ~in_test)


def _unlabelled(project: Project) -> frozenset[str]:
    frame = project.catalogue.frame
    return frozenset(frame.filter(frame["split"] == "unlabelled")["image"])
