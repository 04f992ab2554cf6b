"""`finblend train`: one network a fold."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones.manifest import Seen
from cv.errors import FinblendError
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.networks.embed import require_backbones
from ensemble.networks.extraction import ExtractionOptions
from ensemble.networks.fold_training import FoldTraining
from ensemble.networks.photos import find_photo_files
from ensemble.networks.results import FinishedBefore, RegisteredNow, TrainResult
from ensemble.networks.training_set import training_set
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.stores import held_place

if TYPE_CHECKING:
    from backbones.training import Recipe

# where lightning looks for the number of a process
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def train(
    folder: str | Path,
    model: str,
    *,
    backbone: str,
    images: Sequence[str | Path],
    recipe: Recipe | None = None,
    weights: str | Path = "hub",
    folds: str = "all",
    pseudo: str | None = None,
    pseudo_min: float = 0.0,
    boxes: Sequence[str] = (),
    crops: Sequence[str] = (),
    box_form: str = "auto",
    size: tuple[int, int] | None = None,
    normalise: str | None = None,
    devices: int = 1,
    strategy: str = "auto",
    watch: int = 0,
    replace: bool = False,
    engine: str | Engine = "here",
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Train a network per fold, then embed and register its photos.

    A fold's network sees every label but that fold's. A call that was killed goes on after the last finished epoch; a
    fold that is finished is not done again.

    Parameters
    ----------
    folder : str or Path
        The project.
    model : str
    backbone : str
        See `backbones.adapters.build_backbone`.
    images : sequence of path
        Folders that hold the photos.
    recipe : Recipe, optional
    weights : str or path
        To start from; see `backbones.weights.fill`. `{fold}` in it stands for `fold-K` or `full`.
    folds : str
        "all", "full", or fold numbers with commas between.
    pseudo : str, optional
        File of pseudo-labels; `{fold}` in it stands for `fold-K` or `full`. Or `round-N`, a merged round.
    pseudo_min : float
        Least confidence.
    boxes, crops, box_form
        See `ensemble.networks.photos.find_photo_files`; with several crops each draw of a photo shows one of them.
    size, normalise
        As for `embed`.
    devices, strategy
        Lightning's.
    watch : int
        Every so many epochs MAP@5 of the fold's own known photos is measured for the curve, and nothing chosen by it.
    replace : bool
        Start anew, and replace stores that are there.
    engine : str or Engine
        Where networks are trained, one an item, see `ensemble.engine.engines.engine_of`.
    progress : callable, optional
    **options
        Fields of `ensemble.networks.extraction.ExtractionOptions`; `batch_size` is that of embedding.

    Returns
    -------
    TrainResult
    """
    engine = engine_of(engine)
    require_backbones()
    from backbones.training import Recipe as DefaultRecipe

    project = Project.open(folder)
    recipe = recipe or DefaultRecipe()
    extraction_options = ExtractionOptions(**options)
    if devices < 1 or watch < 0:
        raise FinblendError(f"--devices >= 1 and --watch >= 0 must hold, but got {devices} and {watch}")
    if engine.cpus is not None:
        if devices > 1:
            raise FinblendError(f"--devices {devices}: with --engine ray a network is trained on one device")
        if extraction_options.workers is None:
            extraction_options = dataclasses.replace(extraction_options, workers=engine.cpus - 1)
    if strategy != "auto" and not strategy.startswith("ddp"):
        raise FinblendError(f"--strategy must be auto, ddp or a kind of ddp, but got '{strategy}'")
    if not 0 <= pseudo_min <= 1:
        raise FinblendError(f"0 <= --pseudo-min <= 1 must hold, but got {pseudo_min}")
    wanted = _folds(project, folds)
    photos = find_photo_files(project, images, boxes, crops, box_form)
    trainings = [
        FoldTraining(
            project=project,
            model=model,
            seen=seen,
            backbone=backbone,
            weights=str(weights).replace("{fold}", str(seen)),
            size=size,
            normalise=normalise,
            photos=photos,
            training_set=training_set(project, photos, seen, pseudo, pseudo_min),
            recipe=recipe,
            options=extraction_options,
            devices=devices,
            strategy=strategy,
            validate_every=watch,
        )
        for seen in wanted
    ]
    # lightning starts the processes of further devices with this very command line
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        for training in trainings:
            if not training.run_folder.finished:
                training.train_and_register(False, None)
        raise SystemExit(0)
    with contextlib.ExitStack() as places:
        # the other processes of a cluster's run work beside its first
        for training in trainings if _is_first_process() else []:
            places.enter_context(held_place(project, model, training.seen))
        on = partial(engine.map, folder=project.folder, gpus=extraction_options.device != "cpu", progress=progress)
        # all are refused, or begun, before one is trained
        list(on(_checked, [(training, training is trainings[0]) for training in trainings], name="train: check"))
        list(on(partial(_opened, replace), trainings, name="train: begin"))
        outcomes = list(on(partial(_trained, replace), trainings, name="train"))
    warnings = sorted({line for _, lines in outcomes for line in lines})
    return TrainResult(model=model, runs=[run for run, _ in outcomes], warnings=warnings)


def _checked(item: tuple[FoldTraining, bool], progress: Progress | None) -> None:
    training, network_too = item
    training.check(network_too, progress)


def _opened(replace: bool, training: FoldTraining, _progress: Progress | None) -> None:
    training.open_folder(replace)


def _trained(
    replace: bool, training: FoldTraining, progress: Progress | None
) -> tuple[FinishedBefore | RegisteredNow, list[str]]:
    return training.train_and_register(replace, progress)


def recipe_of(*, head: Mapping[str, Any], augment: Mapping[str, Any], **rest: Any) -> Recipe:
    """Make a recipe from plain values; wrong ones are refused."""
    require_backbones()
    from backbones.training import recipe_from

    return recipe_from(head, augment, rest)


def _is_first_process() -> bool:
    """Whether no launcher (torchrun, SLURM, LSF) says that this is a later process of its run."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def _folds(project: Project, text: str) -> list[Seen]:
    if text == "all":
        return [Seen("fold", fold) for fold in project.catalogue.fold_ids]
    if text == "full":
        return [Seen("full")]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) in project.catalogue.fold_ids for part in parts):
        raise FinblendError(
            f"--folds must be all, full, or some of {', '.join(map(str, project.catalogue.fold_ids))}, but got '{text}'"
        )
    return [Seen("fold", fold) for fold in dict.fromkeys(map(int, parts))]
