"""Training one network of one fold: its photos, its heads and its curve, handed to `backbones.training`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble.networks.extraction import BATCH
from ensemble.networks.run_folder import hash_of
from ensemble.project.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from backbones.adapters import Backbone
    from backbones.photos import Frame
    from backbones.weights import Origin
    from ensemble.networks.fold_training import FoldTraining


def fit_fold(
    training: FoldTraining,
    network: Backbone,
    heads: dict[str, nn.Module],
    frame: Frame,
    start: Origin | None,
    progress: Progress | None,
) -> None:
    """Train from the weights that the network is filled with to the end of the recipe, into the run's folder.

    Parameters
    ----------
    training : FoldTraining
    network : Backbone
    heads : dict of str to torch.nn.Module
    frame : Frame
    start : Origin or None
        What the weights to start from say of themselves.
    progress : callable, optional
    """
    from backbones.extraction.forward import device_of
    from backbones.training.fit import Machine, fit
    from backbones.training.samples import TrainingPhotos
    from backbones.weights import Origin, label_marks
    from ensemble.networks.fold_validation import fold_validation

    device = device_of(training.options.device)
    workers = training.options.decoders(device.type)
    per_device = workers and max(1, workers // training.devices)
    machine = Machine(device.type, training.devices, training.strategy, training.precision, per_device)
    labelled = training.training_set
    photos = TrainingPhotos(
        labelled.files,
        labelled.boxes,
        labelled.individuals,
        labelled.species,
        frame,
        training.recipe.augment,
        training.recipe.seed,
    )
    validate = None
    if training.validate_every and training.seen.fold is not None:
        batch = training.options.batch_size or BATCH[device.type]
        validate = fold_validation(
            training.project, training.seen.fold, training.photos, network, frame, training.validate_every,
            device=device, precision=training.options.precision, batch=batch, workers=workers,
        )  # fmt: skip
    seen_before = start.labels.split() if start else []
    individuals = [labelled.classes[index] for index in labelled.individuals]
    origin = Origin(
        backbone=training.backbone,
        height=frame.height,
        width=frame.width,
        resize=frame.resize,
        mean=" ".join(map(repr, network.mean)),
        std=" ".join(map(repr, network.std)),
        seen=str(training.seen),
        run=hash_of(training.facts["what"]),
        labels=" ".join(sorted({*seen_before, *label_marks(labelled.images, individuals)})),
    )
    label = f"training {training.seen}"
    tell = None if progress is None else (lambda done, total: progress(label, done, total))
    folder = training.run_folder.path
    if not fit(folder, network, heads, photos, training.recipe, machine, origin, validate=validate, tell=tell):
        # with several devices, the first process alone goes on
        raise SystemExit(0)
