"""The curve of a training run: how well the network tells its own fold's photos apart, epoch by epoch.

The fold's labels measure the network; nothing is chosen by them, neither an epoch nor a setting.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cv.folds import gallery_photos
from cv.metrics import map5
from ensemble.networks.photos import PhotoFiles
from ensemble.project.folder import Project
from postproc import Space, top_k

if TYPE_CHECKING:
    from torch import nn

    from backbones.adapters import Backbone
    from backbones.photos import Frame

NEAREST = 128


def fold_map5(embeddings: np.ndarray, labels: np.ndarray, folds: np.ndarray, fold: int) -> float:
    """MAP@5 of a fold's known photos against the other folds' photos, by the best photo of each individual.

    Parameters
    ----------
    embeddings : (n, d) float32 array
    labels, folds : (n,) int arrays
    fold : int

    Examples
    --------
    >>> photos = np.array([[1, 0], [0, 1], [1, 0.1], [0.9, 0.2]], dtype=np.float32)
    >>> fold_map5(photos, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 0]), 1)
    1.0
    """
    gallery = folds != fold
    known = ~gallery & (gallery_photos(labels, folds) > 0)
    if not known.any():
        return float("nan")
    space = Space(((embeddings[known],),), ((embeddings[gallery],),))
    near = labels[gallery][top_k(space, min(NEAREST, int(gallery.sum()))).index]
    ranked = [list(dict.fromkeys(str(label) for label in row))[:5] for row in near.tolist()]
    return map5(ranked, [str(label) for label in labels[known]])


def fold_validation(
    project: Project, fold: int, photos: PhotoFiles, backbone: Backbone, frame: Frame, every: int, **machine: Any
) -> Callable[[int, nn.Module], dict[str, float]]:
    """Make the measurement that a training run takes after an epoch.

    Parameters
    ----------
    every : int
        Epochs from one measurement to the next; the first is taken before training.
    machine
        `device` (torch.device), `precision`, `batch`, `workers`.
    """
    from backbones.extraction.forward import Forward
    from backbones.extraction.photo_set import PhotoSet
    from backbones.extraction.run import Run
    from backbones.extraction.views import views_of

    n_train = project.catalogue.train.height
    train_photos = PhotoSet(
        photos.names[:n_train], photos.files[:n_train], [crop[:n_train] for crop in photos.boxes[:1]], frame
    )

    def validate(epoch: int, network: nn.Module) -> dict[str, float]:
        if epoch % every:
            return {}
        # a copy: measuring folds batch norms and leaves the training mode
        measured = dataclasses.replace(backbone, network=copy.deepcopy(network))
        with tempfile.TemporaryDirectory() as folder:
            run = Run(
                Forward.of(measured, machine["device"]),
                train_photos,
                views_of(["orig"]),
                Path(folder),
                machine["batch"],
                machine["workers"],
            )
            run.forward.prepare(machine["precision"], run.first_photos(), run.views)
            extracted = run.extract()
        readable = ~extracted.failed
        catalogue = project.catalogue
        score = fold_map5(
            extracted.views["orig"][readable], catalogue.labels[readable], catalogue.folds[readable], fold
        )
        return {} if np.isnan(score) else {"map5_known": score}

    return validate
