"""One network over every photo of a project, and its store registered: where `embed` and `train` meet."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from backbones.align import align
from backbones.embeddings import SPLITS, Embeddings
from backbones.manifest import Seen
from backbones.store import Store
from cv.errors import FinblendError, shown
from ensemble.networks.photos import PhotoFiles, problems_of, refuse_bad_photos, refuse_problems, refuse_wrong_form
from ensemble.networks.results import ExtractionResult
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.version import finblend_version
from ensemble.registry.stores import add_store, check_place, refuse_weights_elsewhere

if TYPE_CHECKING:
    from backbones.adapters import Backbone
    from backbones.extraction.run import Extracted, Run
    from backbones.photos import Frame
    from backbones.weights import Filled, Origin

# embeddings in views -> what else the network says of each photo, and files to keep beside
Predict = Callable[[Mapping[str, np.ndarray]], tuple[dict[str, np.ndarray], dict[str, bytes]]]
# embeds all batches of an extraction: the run that has them, the agreement, the device, and photos embedded now
Elsewhere: TypeAlias = "Callable[[Extraction, Progress | None], tuple[Run, float | None, str, int]]"
BATCH = {"cpu": 32, "cuda": 128}
_LIBRARIES = ("torch", "timm", "pillow", "numpy")


@dataclasses.dataclass(frozen=True)
class ExtractionOptions:
    """How photos are shown to a network and how it runs.

    Attributes
    ----------
    views : sequence of {"orig", "hflip"}
    resize : {"squash", "pad", "crop"} or None
        None: as the network was trained by finblend, else "squash".
    batch_size : int or None
        Photos a batch; None: 32 on a CPU, 128 on a GPU.
    device : {"auto", "cpu", "cuda"}
    precision : {"auto", "float32", "bfloat16"}
    workers : int or None
        Decoding processes; None: as many as there are cores to spare.
    strict : bool
        Refuse when a photo is missing, unreadable or truncated.
    """

    views: Sequence[str] = ("orig", "hflip")
    resize: str | None = None
    batch_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise FinblendError(f"--batch-size >= 1 must hold, but got {self.batch_size}")
        if self.workers is not None and self.workers < 0:
            raise FinblendError(f"--workers >= 0 must hold, but got {self.workers}")

    def decoders(self, device: str) -> int:
        """Decoding processes: on a CPU one core stays for the network."""
        if self.workers is not None:
            return self.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores - 1) if device == "cpu" else cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
    """One network over one project's photos.

    Attributes
    ----------
    project : Project
    model : str
    seen : Seen
    backbone : Backbone
        Filled.
    name : str
        What --backbone called it.
    filled : Filled
    photos : PhotoFiles
    options : ExtractionOptions
    elsewhere : callable, optional
        Embeds all batches on an engine (`ensemble.networks.shards.embedded_on`).
    """

    project: Project
    model: str
    seen: Seen
    backbone: Backbone
    name: str
    filled: Filled
    photos: PhotoFiles
    options: ExtractionOptions
    elsewhere: Elsewhere | None = None

    def extract_and_register(
        self, *, replace: bool = False, predict: Predict | None = None, progress: Progress | None = None
    ) -> ExtractionResult:
        """Embed, going on where an earlier call was killed, and register the store."""
        from backbones.extraction.views import views_of

        names = [view.name for view in views_of(self.options.views, self.photos.crops)]
        existing = check_place(self.project, self.model, self.seen, names, replace=replace)
        refuse_weights_elsewhere(self.project, self.filled.sha256, self.model, self.seen)
        if existing is not None and existing.manifest.weights_sha256 != self.filled.sha256:
            raise FinblendError(
                f"{self.model} {self.seen}: is registered with other weights; a further view needs the same ones"
            )
        frame = frame_of(self.backbone, self.options, self.filled.origin)
        refuse_wrong_form(self.photos, frame)
        if self.options.strict:
            refuse_bad_photos(self.photos, frame, self.options.decoders("cpu"), progress)
        if self.elsewhere is None:
            run, agreement = self.run()
            device = run.forward.device.type
            started, computed = time.perf_counter(), 0
        else:
            started = time.perf_counter()
            run, agreement, device, computed = self.elsewhere(self, progress)
            progress = None
        extracted = run.extract(None if progress is None else (lambda done, total: progress("photos", done, total)))
        extracted.computed += computed
        seconds = time.perf_counter() - started
        problems = problems_of(self.photos, dict(zip(self.photos.names, extracted.note.tolist(), strict=True)))
        if self.options.strict:  # one may have gone bad since it was checked
            refuse_problems(problems)
        failed = {name: problems[name] for name, bad in zip(self.photos.names, extracted.failed, strict=True) if bad}
        if len(failed) == len(self.photos.names):
            raise FinblendError(f"no photo can be read: {shown(f'{name}: {note}' for name, note in failed.items())}")
        self._stand_in(extracted)
        predictions, attachments = predict(_all_views(existing, extracted.views)) if predict else ({}, {})
        manifest = add_store(
            self.project,
            self.model,
            self.seen,
            self._splits(extracted, predictions),
            self._facts(run, failed),
            existing=existing,
            attachments=attachments,
        )
        shutil.rmtree(run.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it may keep batches of a killed call with other options
            run.folder.parent.rmdir()
        return ExtractionResult(
            model=self.model,
            seen=str(self.seen),
            views=manifest.views,
            train_images=manifest.photos["train"],
            test_images=manifest.photos["test"],
            problems=problems,
            stand_ins=list(failed),
            boxes_too_small=int(extracted.whole.sum()),
            photos_without_box=self.photos.without_box,
            device=device,
            precision=run.forward.precision,
            agreement=agreement,
            computed=extracted.computed,
            seconds=seconds,
            photos_per_second=extracted.computed / seconds,
        )

    def run(self) -> tuple[Run, float | None]:
        """The run of these photos through this network on this machine, and how well bfloat16 agrees."""
        import torch

        from backbones.adapters import provider_of
        from backbones.extraction.forward import Forward, device_of
        from backbones.extraction.photo_set import PhotoSet
        from backbones.extraction.run import Run, fingerprint
        from backbones.extraction.views import views_of

        device = device_of(self.options.device)
        photos, frame = self.photos, frame_of(self.backbone, self.options, self.filled.origin)
        run = Run(
            Forward.of(self.backbone, device),
            PhotoSet(photos.names, photos.files, photos.boxes, frame),
            views_of(self.options.views, photos.crops),
            Path(),
            self.options.batch_size or BATCH[device.type],
            self.options.decoders(device.type),
        )
        agreement = run.forward.prepare(self.options.precision, run.first_photos(), run.views)
        key = fingerprint(
            self.name,
            self.filled.sha256,
            self._transform(run),
            _versions(),
            provider_of(self.name),
            finblend_version(),
            device.type,
            # sums differ in the last bit with the number of threads
            torch.get_num_threads() if device.type == "cpu" else 0,
            run.batch,
            photos.names,
            [None if file is None else photos.stamp(file) for file in photos.files],
            photos.boxes,
        )
        run.folder = self.project.cache / "embed" / f"{self.model}-{self.seen}" / key
        return run, agreement

    def _transform(self, run: Run) -> str:
        frame = dataclasses.asdict(run.photos.frame) | {"mean": self.backbone.mean, "std": self.backbone.std}
        views = [dataclasses.asdict(view) for view in run.views]
        return json.dumps(frame | {"views": views, "precision": run.forward.precision}, sort_keys=True)

    def _facts(self, run: Run, failed: Mapping[str, str]) -> dict[str, Any]:
        boxes = {f"boxes {number}": source for number, source in enumerate(self.photos.sources, start=1)}
        return {
            "weights_sha256": self.filled.sha256,
            "transform": self._transform(run),
            "sources": {"backbone": self.name, "weights": self.filled.source} | boxes,
            "made_by": finblend_version(),
            "versions": _versions(),
            "unreadable": dict(failed),
        }

    def _stand_in(self, extracted: Extracted) -> None:
        """Put directions that resemble nobody where photos could not be read, before anything is predicted."""
        from backbones.extraction.nobody import stand_in

        for view, array in extracted.views.items():
            for row in np.flatnonzero(extracted.failed):
                array[row] = stand_in(self.photos.names[row], view, array, ~extracted.failed)

    def _splits(self, extracted: Extracted, predictions: Mapping[str, np.ndarray]) -> dict[str, Embeddings]:
        names, catalogue = self.photos.names, self.project.catalogue
        n_train = catalogue.train.height
        splits = {}
        for split, rows in (("train", slice(0, n_train)), ("test", slice(n_train, None))):
            embeddings = Embeddings(
                {view: array[rows] for view, array in extracted.views.items()},
                names[rows],
                predictions={name: values[rows] for name, values in predictions.items()},
                source=self.model,
            )
            splits[split] = align(embeddings, catalogue.train if split == "train" else catalogue.test, split)
        return splits


def frame_of(backbone: Backbone, options: ExtractionOptions, origin: Origin | None) -> Frame:
    """What a network looks through; margins have the colour that normalises to zero."""
    from backbones.photos import Frame

    resize = options.resize or (origin.resize if origin else "squash")
    red, green, blue = (round(255 * value) for value in backbone.mean)
    return Frame(backbone.height, backbone.width, resize, fill=(red, green, blue))


def _all_views(store: Store | None, views: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The views that are registered, and the new ones."""
    if store is None:
        return dict(views)
    registered = {view: np.concatenate([store.embedding(split, view) for split in SPLITS]) for view in store.views}
    return registered | dict(views)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}
