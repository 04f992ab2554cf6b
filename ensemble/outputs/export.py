"""Export the blend as vectors: whitened, normalised, weighted and concatenated, so that a dot product is the blend."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.embeddings import SPLITS
from backbones.formats.read import EXPORT_MARK
from backbones.store import Store
from cv.errors import FinblendError
from cv.files import folder_written_beside
from ensemble.blend.load import tuned_blend
from ensemble.project.folder import Project
from ensemble.project.result import Result
from ensemble.registry.models import Model, require_models
from ensemble.retrieval.whitening import fit, whitened
from postproc import Space

_BLOCK = 4096


@dataclass(frozen=True)
class ExportResult(Result):
    """Vectors that were written: the folder, its files, their width, and the views they hold."""

    output: str
    files: list[str]
    width: int
    views: list[str]


def export(folder: str | Path, output: str | Path) -> ExportResult:
    """Write the blend's vectors, one `.npz` a space.

    With trained models each fold is a space of its own (`fold-0.npz`, ...), with frozen ones only there is one
    (`frozen.npz`). A file holds `train_image, train_embedding, test_image, test_embedding` (float32), with one
    embedding a view where models have several. The dot product of two vectors is the weighted mean of the models'
    cosines. They are for searching: weights and whitening have seen every label, so `register` refuses them.

    Parameters
    ----------
    folder : str or Path
    output : str or Path
        A folder that does not exist yet.
    """
    project = Project.open(folder)
    blend = tuned_blend(project)
    output = Path(output)
    if output.exists():
        raise FinblendError(f"{output}: already exists; choose another folder")
    if not output.parent.is_dir():
        raise FinblendError(f"{output}: the folder {output.parent} does not exist")
    models = require_models(project, [name for name, weight in blend.weights.items() if weight > 0])
    views = _views(models)
    folds = sorted({fold for model in models.values() for fold in model.folds})
    spaces: list[int | None] = [*folds] or [None]
    files: list[str] = []
    width = 0
    with folder_written_beside(output) as temporary:
        for fold in spaces:
            arrays: dict[str, np.ndarray] = {}
            with tempfile.TemporaryDirectory(dir=temporary) as scratch:
                mapped = {
                    name: _space(project, model, fold, blend.whitening.get(name, "none"), Path(scratch))
                    for name, model in models.items()
                }
                for split in SPLITS:
                    photos = project.catalogue.train if split == "train" else project.catalogue.test
                    arrays[EXPORT_MARK] = np.array(str(folder))
                    arrays[f"{split}_image"] = photos["image"].to_numpy().astype("U")
                    for view in views:
                        key = f"{split}_embedding" if len(views) == 1 else f"{split}_embedding_{view}"
                        arrays[key] = _concatenated(mapped, models, blend.weights, split, view)
                        width = arrays[key].shape[1]
            name = "frozen.npz" if fold is None else f"fold-{fold}.npz"
            np.savez(temporary / name, **arrays)  # type: ignore[arg-type]
            files.append(name)
    return ExportResult(str(output), files, width, views)


def _views(models: dict[str, Model]) -> list[str]:
    several = {tuple(model.views) for model in models.values() if len(model.views) > 1}
    if len(several) > 1:
        raise FinblendError(
            f"sources have different sets of views ({' and '.join(map(str, several))}); vectors need one"
        )
    return list(next(iter(several))) if several else ["only"]


def _space(project: Project, model: Model, fold: int | None, kind: str, scratch: Path) -> Space:
    """Test photos as queries and train photos as gallery, in the space of one fold, whitened as `submit` does."""
    store: Store = model.frozen or model.folds[fold if fold is not None else min(model.folds)]
    test, train = (tuple(store.embedding(split, view) for view in model.views) for split in ("test", "train"))
    space = Space((test,), (train,))
    if kind == "none":
        return space
    labels = project.catalogue.labels
    return whitened(space, fit(space, kind, labels, np.arange(len(labels))), scratch, model.name)


def _concatenated(
    spaces: dict[str, Space], models: dict[str, Model], weights: dict[str, float], split: str, view: str
) -> np.ndarray:
    blocks = []
    for name, space in spaces.items():
        names = models[name].views
        array = (space.gallery if split == "train" else space.query)[0][names.index(view) if len(names) > 1 else 0]
        out = np.empty(array.shape, dtype=np.float32)
        for start in range(0, len(array), _BLOCK):
            block = array[start : start + _BLOCK].astype(np.float64)
            out[start : start + _BLOCK] = block * (weights[name] ** 0.5 / np.linalg.norm(block, axis=1, keepdims=True))
        blocks.append(out)
    return np.concatenate(blocks, axis=1)
