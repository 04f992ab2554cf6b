"""One network of one fold: trained, embedded, registered; each step only where it is not done yet."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.store import Seen
from cv.errors import FinblendError, shown
from cv.files import read_json, sha256_of, write_json
from ensemble.embedding import catalogue_marks, normalised, what_it_saw
from ensemble.extraction import Extraction, How, Progress
from ensemble.project import Project
from ensemble.shelf import place_for
from ensemble.sightings import Sightings, refuse_wrong_form
from ensemble.trainees import Trainees

if TYPE_CHECKING:
    from torch import nn

    from backbones.adapters import Backbone
    from backbones.photos import Frame
    from backbones.training import Recipe
    from backbones.weights import Origin

RUN_FILE = "run.json"
CLASSES_FILE = "classes.json"


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to be trained, embedded and registered; for the fields see `ensemble.train`."""

    project: Project
    model: str
    seen: Seen
    backbone: str
    weights: str
    size: tuple[int, int] | None
    normalise: str | None
    photos: Sightings
    trainees: Trainees
    recipe: Recipe
    how: How
    devices: int = 1
    strategy: str = "auto"
    watch: int = 0

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.project.folder / "runs" / self.model / str(self.seen)

    @property
    def network_file(self) -> Path:
        """There when training is finished."""
        from backbones.weights.saved import NETWORK_FILE

        return self.folder / NETWORK_FILE

    def check(self, network_too: bool) -> None:
        """Refuse before anything is begun what would else be refused after hours of training.

        Parameters
        ----------
        network_too : bool
            Build the network, and look at photos through its frame: the same for every fold.
        """
        from backbones.extraction.forward import PRECISIONS, device_of
        from backbones.extraction.views import views_of
        from backbones.weights import origin_of

        start = origin_of(self.weights)
        what_it_saw(self.project, start, self.seen, self.weights, starting=True)
        if not network_too:
            return
        views_of(self.how.views, self.photos.crops)
        device_of(self.how.device)
        if self.how.precision not in PRECISIONS:
            raise FinblendError(f"--precision must be one of {', '.join(PRECISIONS)}, but got '{self.how.precision}'")
        if self.how.strict and self.photos.problems:
            raise FinblendError(f"--strict: {shown(f'{name}: {note}' for name, note in self.photos.problems.items())}")
        refuse_wrong_form(self.photos, self._frame(self._network(start), start))

    def open_folder(self, replace: bool) -> None:
        """Make the run's folder, or make sure that the one that is there is of this very run."""
        store = None if replace else self.project.stores().get(self.model, {}).get(str(self.seen))
        mine = (
            store is not None
            and self.network_file.is_file()
            and store.manifest.weights_sha256 == sha256_of(self.network_file)
        )
        if not mine:
            place_for(self.project, self.model, self.seen, replace=replace)
        path = self.folder / RUN_FILE
        if replace and self.folder.exists():
            shutil.rmtree(self.folder)
        facts = self._facts()
        if path.is_file():
            there, wanted = _leaves(read_json(path)), _leaves(facts)
            other = [name for name in wanted if name not in there or there[name] != wanted[name]]
            if not other:
                return
            if self._begun():
                name = other[0]
                raise FinblendError(
                    f"{self.folder}: a run with another {name.removeprefix('recipe.')} is there "
                    f"({there.get(name)}, not {wanted[name]}); use --replace"
                )
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)

    def _begun(self) -> bool:
        """Whether anything was trained: a call that was refused before leaves nothing to be kept."""
        return self.network_file.is_file() or any(self.folder.glob("checkpoints/*.ckpt"))

    def do(self, replace: bool, progress: Progress | None) -> dict[str, Any]:
        """Train where that is not finished, embed and register where that is not."""
        from backbones.extraction.views import views_of
        from backbones.training.fit import CURVE_FILE, load_heads, read_curve
        from backbones.weights import fill, origin_of

        start = origin_of(self.weights)
        network = self._network(start)
        warnings = what_it_saw(self.project, start, self.seen, self.weights, starting=True)
        frame = self._frame(network, start)
        heads = self._heads(network)
        if not self.network_file.is_file():
            fill(network, self.weights)
            if not any(True for _ in network.network.parameters()):
                raise FinblendError(f"--backbone {self.backbone}: has no parameters to train")
            self._fit(network, heads, frame, progress)
        filled = fill(network, str(self.folder))
        report = {
            "seen": str(self.seen),
            "folder": str(self.folder),
            "photos": len(self.trainees.files),
            "classes": len(self.trainees.classes),
            "pseudo": self.trainees.pseudo,
            "curve": read_curve(self.folder / CURVE_FILE),
            "warnings": warnings,
        }
        store = self.project.stores().get(self.model, {}).get(str(self.seen))
        how = dataclasses.replace(self.how, resize=frame.resize)
        if store is not None and not replace and store.manifest.weights_sha256 == filled.sha256:
            # what is registered stays; views that it lacks are added
            there = store.views
            lacking = [way for way in how.views if all(v.name not in there for v in views_of([way], self.photos.crops))]
            if not lacking:
                return report | {"registered": "before"}
            how = dataclasses.replace(how, views=lacking)
        extraction = Extraction(self.project, self.model, self.seen, network, self.backbone, filled, self.photos, how)
        predict = self._predictor(load_heads(self.folder, heads))
        return report | extraction.to_shelf(replace=replace, predict=predict, progress=progress) | {"registered": "now"}

    def _facts(self) -> dict[str, Any]:
        """All that decides the result: a run goes on only with the same."""
        from backbones.weights import HUB, RANDOM

        path = Path(self.weights)
        file = path / "network.safetensors" if path.is_dir() else path
        labels = {"individuals": self.trainees.individuals.tolist(), "classes": self.trainees.classes}
        facts = {
            "backbone": self.backbone,
            "weights": self.weights if self.weights in (HUB, RANDOM) else sha256_of(file),
            "size": self.size,
            "resize": self.how.resize,
            "normalise": self.normalise,
            "recipe": dataclasses.asdict(self.recipe),
            "catalogue": catalogue_marks(self.project),
            "photos": [Path(file).name for file in self.trainees.files],
            "labels": labels,
            "boxes": [
                [None if box is None else dataclasses.astuple(box) for box in crop] for crop in self.trainees.boxes
            ],
            "devices": self.devices,
            "precision": self._precision(),
        }
        # what is long is kept as its hash
        for name in ("photos", "labels", "boxes"):
            facts[name] = _hash(facts[name])
        return dict(json.loads(json.dumps(facts)))

    def _network(self, start: Origin | None) -> Backbone:
        from backbones.adapters import build_backbone

        size = self.size or (None if start is None else (start.height, start.width))
        return normalised(build_backbone(self.backbone, size), self.normalise)

    def _frame(self, network: Backbone, start: Origin | None) -> Frame:
        from backbones.photos import Frame

        resize = self.how.resize or (start.resize if start else "squash")
        red, green, blue = (round(255 * value) for value in network.mean)
        return Frame(network.height, network.width, resize, fill=(red, green, blue))

    def _heads(self, network: Backbone) -> dict[str, nn.Module]:
        from backbones.training.heads import heads_for

        trainees = self.trainees
        return heads_for(
            network,
            self.recipe,
            np.bincount(trainees.individuals, minlength=len(trainees.classes)),
            np.bincount(trainees.species, minlength=len(self.project.catalogue.species)),
        )

    def _fit(
        self,
        network: Backbone,
        heads: dict[str, nn.Module],
        frame: Frame,
        progress: Progress | None,
    ) -> None:
        from backbones.extraction.forward import device_of
        from backbones.training.fit import Machine, fit
        from backbones.training.samples import TrainingPhotos
        from backbones.weights import Origin
        from ensemble.watching import fold_watch

        device = device_of(self.how.device)
        workers = self.how.decoders(device.type)
        each = workers and max(1, workers // self.devices)
        machine = Machine(device.type, self.devices, self.strategy, self._precision(), each)
        photos = TrainingPhotos(
            self.trainees.files,
            self.trainees.boxes,
            self.trainees.individuals,
            self.trainees.species,
            frame,
            self.recipe.augment,
            self.recipe.seed,
        )
        measure = None
        if self.watch and self.seen.fold is not None:
            batch = self.how.batch_size or 32
            measure = fold_watch(
                self.project, self.seen.fold, self.photos, network, frame, self.watch,
                device=device, precision=self.how.precision, batch=batch, workers=workers,
            )  # fmt: skip
        marks = catalogue_marks(self.project)
        origin = Origin(self.backbone, frame.height, frame.width, frame.resize, str(self.seen), **marks)
        what = f"training {self.seen}"
        tell = None if progress is None else (lambda done, total: progress(what, done, total))
        if not fit(self.folder, network, heads, photos, self.recipe, machine, origin, watch=measure, tell=tell):
            # with several devices, the first process alone goes on
            raise SystemExit(0)

    def _precision(self) -> str:
        from backbones.extraction.forward import device_of, has_bfloat16

        if self.how.precision != "auto":
            return self.how.precision
        return "bfloat16" if has_bfloat16(device_of(self.how.device)) else "float32"

    def _predictor(
        self, heads: Mapping[str, nn.Module]
    ) -> Callable[[Mapping[str, np.ndarray]], tuple[dict[str, np.ndarray], dict[str, bytes]]]:
        from backbones.training.logits import head_predictions

        classes = json.dumps(self.trainees.classes, ensure_ascii=False).encode()

        def predict(views: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
            return head_predictions(views, heads, self.recipe.head.scale), {CLASSES_FILE: classes}

        return predict


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Values by their dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    prefix = f"{name}." if name else ""
    return {leaf: held for key, inner in value.items() for leaf, held in _leaves(inner, prefix + key).items()}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
