"""One network of one fold: trained, embedded, registered; each step only where it is not done yet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.manifest import Seen
from backbones.store import Store
from cv.errors import FinblendError
from cv.files import read_json, sha256_of
from ensemble.networks.embed import check_labels_seen, normalised
from ensemble.networks.extraction import Extraction, ExtractionOptions, frame_of
from ensemble.networks.fitting import fit_fold
from ensemble.networks.photos import PhotoFiles, refuse_bad_photos, refuse_wrong_form
from ensemble.networks.results import FinishedBefore, FoldResult, RegisteredNow
from ensemble.networks.run_folder import RUN_FILE, RunFolder, hash_of
from ensemble.networks.training_set import TrainingSet
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.stores import check_place

if TYPE_CHECKING:
    from torch import nn

    from backbones.adapters import Backbone
    from backbones.training import Recipe
    from backbones.weights import Origin

CLASSES_FILE = "classes.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    training_set: TrainingSet
    recipe: Recipe
    options: ExtractionOptions
    devices: int = 1
    strategy: str = "auto"
    validate_every: int = 0

    @property
    def run_folder(self) -> RunFolder:
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
        from backbones.adapters.stride_map import StrideMap
        from backbones.extraction.forward import PRECISIONS, device_of
        from backbones.extraction.views import views_of
        from backbones.weights import origin_of

        start = origin_of(self.weights)
        check_labels_seen(self.project, start, self.seen, self.weights)
        if not network_too:
            return
        views_of(self.options.views, self.photos.crops)
        device = device_of(self.options.device)
        wanted = self.options.precision
        if wanted not in PRECISIONS:
            raise FinblendError(f"--precision must be one of {', '.join(PRECISIONS)}, but got '{wanted}'")
        network = self._network(start)
        if self.recipe.local:
            StrideMap.of(network)
        frame = frame_of(network, self.options, start)
        refuse_wrong_form(self.photos, frame)
        if self.options.strict:
            refuse_bad_photos(self.photos, frame, self.options.decoders(device.type), progress)

    def open_folder(self, replace: bool) -> None:
        """Make the run's folder, or make sure that the one that is there is of this very run."""
        run = self.run_folder
        if replace or not run.path.exists():
            check_place(self.project, self.model, self.seen, replace=replace)
            run.begin(self.facts, replace)
            return
        store = self._store
        is_of_run = store is not None and run.finished and store.manifest.weights_sha256 == sha256_of(run.network_file)
        if not is_of_run:
            check_place(self.project, self.model, self.seen, replace=run.replaces)
        run.refuse_other(self.facts)

    def differing_runs(self) -> list[str]:
        """Warn of other networks of this model that are trained otherwise: the blend takes them for one model."""
        facts = self.facts["what"]
        warnings = []
        for file in sorted(self.run_folder.path.parent.glob(f"*/{RUN_FILE}")):
            facts_there = read_json(file).get("what", {})
            differing = [
                name
                for name in ("backbone", "size", "resize", "normalise", "recipe")
                if facts_there.get(name) != facts[name]
            ]
            if differing:
                warnings.append(f"{self.model}: {file.parent.name} was trained with another {', '.join(differing)}")
        return warnings

    def train_and_register(
        self, replace: bool, progress: Progress | None
    ) -> tuple[FinishedBefore | RegisteredNow, list[str]]:
        """Train where that is not finished, embed and register where that is not; with warnings."""
        from backbones.curve import CURVE_FILE, read_curve
        from backbones.extraction.views import views_of
        from backbones.training.fit import load_heads
        from backbones.training.heads import LOCAL
        from backbones.weights import fill, origin_of

        start = origin_of(self.weights)
        network = self._network(start)
        warnings = check_labels_seen(self.project, start, self.seen, self.weights)
        frame = frame_of(network, self.options, start)
        heads = self._heads(network)
        if not self.run_folder.finished:
            terms = fill(network, self.weights).terms
            warnings += [terms] if terms else []
            if not any(True for _ in network.network.parameters()):
                raise FinblendError(f"--backbone {self.backbone}: has no parameters to train")
            fit_fold(self, network, heads, frame, start, progress)
        filled = fill(network, str(self.run_folder.path))
        if filled.origin is None or filled.origin.run != hash_of(self.facts["what"]):
            raise FinblendError(f"{self.run_folder.network_file}: is the network of another run; use --replace")
        trained = FoldResult(
            seen=str(self.seen),
            folder=str(self.run_folder.path),
            photos=len(self.training_set.files),
            classes=len(self.training_set.classes),
            pseudo=self.training_set.pseudo,
            curve=read_curve(self.run_folder.path / CURVE_FILE),
        )
        warnings += self.differing_runs()
        store = self._store
        options = dataclasses.replace(self.options, resize=frame.resize)
        replace = replace or self.run_folder.replaces
        if store is not None and not replace and store.manifest.weights_sha256 == filled.sha256:
            # what is registered stays; views that it lacks are added
            lacking = [
                way
                for way in options.views
                if all(view.name not in store.views for view in views_of([way], self.photos.crops))
            ]
            if not lacking:
                return FinishedBefore(**vars(trained)), warnings
            options = dataclasses.replace(options, views=lacking)
        extraction = Extraction(
            project=self.project,
            model=self.model,
            seen=self.seen,
            backbone=network,
            name=self.backbone,
            filled=filled,
            photos=self.photos,
            options=options,
        )
        loaded = load_heads(self.run_folder.path, heads)
        predict = self._predictor({name: head for name, head in loaded.items() if name != LOCAL})
        extracted = extraction.extract_and_register(replace=replace, predict=predict, progress=progress)
        self.run_folder.replaced()
        return RegisteredNow(**{**vars(trained), **vars(extracted)}), warnings

    @property
    def _store(self) -> Store | None:
        """What is registered of this model and fold."""
        return self.project.stores().get(self.model, {}).get(str(self.seen))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that decides the result: a run goes on only with the same."""
        from backbones.weights import HUB, RANDOM
        from backbones.weights.saved import NETWORK_FILE

        path = Path(self.weights)
        file = path / NETWORK_FILE if path.is_dir() else path
        photos = self.training_set
        recipe = dataclasses.asdict(self.recipe)
        if not self.recipe.local:
            # runs of before local features go on
            del recipe["local"]
        boxes = [[None if box is None else dataclasses.astuple(box) for box in crop] for crop in photos.boxes]
        stamps = [(Path(file).name, *self.photos.stamp(file)) for file in photos.files]
        labels = [photos.individuals.tolist(), photos.species.tolist(), photos.classes]
        what = {
            "backbone": self.backbone,
            "weights": self.weights if self.weights in (HUB, RANDOM) else sha256_of(file),
            "size": self.size,
            "resize": self.options.resize,
            "normalise": self.normalise,
            "recipe": recipe,
            # what is long is kept as its hash
            "photos": hash_of(stamps),
            "labels": hash_of(labels),
            "boxes": hash_of(boxes),
        }
        facts = {"what": what, "machine": {"devices": self.devices, "precision": self.precision}}
        return dict(json.loads(json.dumps(facts)))

    def _network(self, start: Origin | None) -> Backbone:
        from backbones.adapters import build_backbone

        size = self.size or (None if start is None else (start.height, start.width))
        return normalised(build_backbone(self.backbone, size), self.normalise, start)

    def _heads(self, network: Backbone) -> dict[str, nn.Module]:
        from backbones.training.heads import heads_for

        photos = self.training_set
        return heads_for(
            network,
            self.recipe,
            np.bincount(photos.individuals, minlength=len(photos.classes)),
            np.bincount(photos.species, minlength=len(self.project.catalogue.species)),
        )

    @property
    def precision(self) -> str:
        """Of training: what --precision says, or bfloat16 where the hardware has it."""
        from backbones.extraction.forward import device_of, has_bfloat16

        if self.options.precision != "auto":
            return self.options.precision
        return "bfloat16" if has_bfloat16(device_of(self.options.device)) else "float32"

    def _predictor(
        self, heads: Mapping[str, nn.Module]
    ) -> Callable[[Mapping[str, np.ndarray]], tuple[dict[str, np.ndarray], dict[str, bytes]]]:
        from backbones.training.logits import head_predictions

        classes = json.dumps(self.training_set.classes, ensure_ascii=False).encode()

        def predict(views: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
            return head_predictions(views, heads, self.recipe.head.scale), {CLASSES_FILE: classes}

        return predict
