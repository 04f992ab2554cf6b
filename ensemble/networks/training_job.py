"""One network of one fold: trained, embedded, registered; each step only where it is not done yet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.store import Seen
from cv.errors import FinblendError
from cv.files import read_json, sha256_of
from ensemble.networks.embed import normalised, what_it_saw
from ensemble.networks.extraction import BATCH, Extraction, ExtractionOptions, frame_of
from ensemble.networks.photos import PhotoFiles, refuse_bad_photos, refuse_wrong_form
from ensemble.networks.run_folder import RUN_FILE, RunFolder, hash_of
from ensemble.networks.training_set import TrainingSet
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.stores import check_place

if TYPE_CHECKING:
    from torch import nn

    from backbones.adapters import Backbone
    from backbones.photos import Frame
    from backbones.training import Recipe
    from backbones.weights import Origin

CLASSES_FILE = "classes.json"


@dataclasses.dataclass(frozen=True)
class FoldTraining:
    """One network to be trained, embedded and registered; for the fields see `ensemble.train`."""

    project: Project
    model: str
    seen: Seen
    backbone: str
    weights: str
    size: tuple[int, int] | None
    normalise: str | None
    photos: PhotoFiles
    trainees: TrainingSet
    recipe: Recipe
    how: ExtractionOptions
    devices: int = 1
    strategy: str = "auto"
    watch: int = 0

    @property
    def run(self) -> RunFolder:
        """Where the run lives."""
        return RunFolder(self.project.folder / "runs" / self.model / str(self.seen))

    def check(self, network_too: bool, progress: Progress | None = None) -> None:
        """Refuse before anything is begun what would else be refused after hours of training.

        Parameters
        ----------
        network_too : bool
            Build the network, and look at photos through its frame: the same for every fold.
        progress : callable, optional
        """
        from backbones.extraction.forward import PRECISIONS, device_of
        from backbones.extraction.views import views_of
        from backbones.weights import origin_of

        start = origin_of(self.weights)
        what_it_saw(self.project, start, self.seen, self.weights)
        if not network_too:
            return
        views_of(self.how.views, self.photos.crops)
        device = device_of(self.how.device)
        if self.how.precision not in PRECISIONS:
            raise FinblendError(f"--precision must be one of {', '.join(PRECISIONS)}, but got '{self.how.precision}'")
        frame = frame_of(self._network(start), self.how, start)
        refuse_wrong_form(self.photos, frame)
        if self.how.strict:
            refuse_bad_photos(self.photos, frame, self.how.decoders(device.type), progress)

    def open_folder(self, replace: bool) -> None:
        """Make the run's folder, or make sure that the one that is there is of this very run."""
        run = self.run
        if replace or not run.path.exists():
            check_place(self.project, self.model, self.seen, replace=replace)
            run.begin(self._facts, replace)
            return
        store = self.project.stores().get(self.model, {}).get(str(self.seen))
        mine = store is not None and run.finished and store.manifest.weights_sha256 == sha256_of(run.network_file)
        if not mine:
            check_place(self.project, self.model, self.seen, replace=run.replaces)
        run.refuse_other(self._facts)

    def unlike(self) -> list[str]:
        """Warn of other networks of this model that are trained otherwise: the blend takes them for one model."""
        mine = self._facts["what"]
        told = []
        for file in sorted(self.run.path.parent.glob(f"*/{RUN_FILE}")):
            theirs = read_json(file).get("what", {})
            other = [
                name for name in ("backbone", "size", "resize", "normalise", "recipe") if theirs.get(name) != mine[name]
            ]
            if other:
                told.append(f"{self.model}: {file.parent.name} was trained with another {', '.join(other)}")
        return told

    def do(self, replace: bool, progress: Progress | None) -> dict[str, Any]:
        """Train where that is not finished, embed and register where that is not."""
        from backbones.extraction.views import views_of
        from backbones.training.fit import CURVE_FILE, load_heads, read_curve
        from backbones.weights import fill, origin_of

        start = origin_of(self.weights)
        network = self._network(start)
        warnings = what_it_saw(self.project, start, self.seen, self.weights)
        frame = frame_of(network, self.how, start)
        heads = self._heads(network)
        if not self.run.finished:
            fill(network, self.weights)
            if not any(True for _ in network.network.parameters()):
                raise FinblendError(f"--backbone {self.backbone}: has no parameters to train")
            self._fit(network, heads, frame, start, progress)
        filled = fill(network, str(self.run.path))
        if filled.origin is None or filled.origin.run != hash_of(self._facts["what"]):
            raise FinblendError(f"{self.run.network_file}: is the network of another run; use --replace")
        report = {
            "seen": str(self.seen),
            "folder": str(self.run.path),
            "photos": len(self.trainees.files),
            "classes": len(self.trainees.classes),
            "pseudo": self.trainees.pseudo,
            "curve": read_curve(self.run.path / CURVE_FILE),
            "warnings": warnings + self.unlike(),
        }
        store = self.project.stores().get(self.model, {}).get(str(self.seen))
        how = dataclasses.replace(self.how, resize=frame.resize)
        replace = replace or self.run.replaces
        if store is not None and not replace and store.manifest.weights_sha256 == filled.sha256:
            # what is registered stays; views that it lacks are added
            there = store.views
            lacking = [way for way in how.views if all(v.name not in there for v in views_of([way], self.photos.crops))]
            if not lacking:
                return report | {"registered": "before"}
            how = dataclasses.replace(how, views=lacking)
        extraction = Extraction(self.project, self.model, self.seen, network, self.backbone, filled, self.photos, how)
        predict = self._predictor(load_heads(self.run.path, heads))
        told = extraction.extract_and_register(replace=replace, predict=predict, progress=progress)
        self.run.replaced()
        return report | told | {"registered": "now"}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """All that decides the result: a run goes on only with the same."""
        from backbones.weights import HUB, RANDOM
        from backbones.weights.saved import NETWORK_FILE

        path = Path(self.weights)
        file = path / NETWORK_FILE if path.is_dir() else path
        trainees = self.trainees
        boxes = [[None if box is None else dataclasses.astuple(box) for box in crop] for crop in trainees.boxes]
        stamps = [(Path(file).name, *self.photos.stamp(file)) for file in trainees.files]
        labels = [trainees.individuals.tolist(), trainees.species.tolist(), trainees.classes]
        what = {
            "backbone": self.backbone,
            "weights": self.weights if self.weights in (HUB, RANDOM) else sha256_of(file),
            "size": self.size,
            "resize": self.how.resize,
            "normalise": self.normalise,
            "recipe": dataclasses.asdict(self.recipe),
            # what is long is kept as its hash
            "photos": hash_of(stamps),
            "labels": hash_of(labels),
            "boxes": hash_of(boxes),
        }
        facts = {"what": what, "machine": {"devices": self.devices, "precision": self._precision()}}
        return dict(json.loads(json.dumps(facts)))

    def _network(self, start: Origin | None) -> Backbone:
        from backbones.adapters import build_backbone

        size = self.size or (None if start is None else (start.height, start.width))
        return normalised(build_backbone(self.backbone, size), self.normalise, start)

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
        start: Origin | None,
        progress: Progress | None,
    ) -> None:
        from backbones.extraction.forward import device_of
        from backbones.training.fit import Machine, fit
        from backbones.training.samples import TrainingPhotos
        from backbones.weights import Origin, label_marks
        from ensemble.networks.fold_validation import fold_validation

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
            batch = self.how.batch_size or BATCH[device.type]
            measure = fold_validation(
                self.project, self.seen.fold, self.photos, network, frame, self.watch,
                device=device, precision=self.how.precision, batch=batch, workers=workers,
            )  # fmt: skip
        before = start.labels.split() if start else []
        individuals = [self.trainees.classes[index] for index in self.trainees.individuals]
        origin = Origin(
            backbone=self.backbone,
            height=frame.height,
            width=frame.width,
            resize=frame.resize,
            mean=" ".join(map(repr, network.mean)),
            std=" ".join(map(repr, network.std)),
            seen=str(self.seen),
            run=hash_of(self._facts["what"]),
            labels=" ".join(sorted({*before, *label_marks(self.trainees.images, individuals)})),
        )
        what = f"training {self.seen}"
        tell = None if progress is None else (lambda done, total: progress(what, done, total))
        if not fit(self.run.path, network, heads, photos, self.recipe, machine, origin, watch=measure, tell=tell):
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
