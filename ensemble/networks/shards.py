"""Embedding on an engine: the batches of one run in shards, which workers keep in the run's own folder.

The grid of batches is the same wherever they are embedded, so a photo's embedding is the same, too. A worker builds the
network by its name and fills it with the same weights; one that would compute otherwise is refused.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.manifest import Seen
from cv.errors import FinblendError
from ensemble.engine.contract import Engine
from ensemble.engine.kept import wait_for
from ensemble.engine.shards import shards
from ensemble.networks.extraction import Extraction, ExtractionOptions, frame_of
from ensemble.networks.photos import PhotoFiles
from ensemble.project.folder import Project
from ensemble.project.progress import Progress

if TYPE_CHECKING:
    from backbones.extraction.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """An extraction as it is sent to a worker: the network by name, with the hash of its weights."""

    folder: Path
    model: str
    seen: Seen
    name: str
    size: tuple[int, int]
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]]
    weights: str
    sha256: str
    photos: PhotoFiles
    options: ExtractionOptions

    @classmethod
    def of(cls, extraction: Extraction, cpus: int) -> Job:
        """An extraction; a worker's CPUs but one decode photos."""
        from backbones.weights import RANDOM
        from backbones.weights.fill import OWN_FILE

        backbone, filled = extraction.backbone, extraction.filled
        workers = extraction.options.workers
        return cls(
            folder=extraction.project.folder,
            model=extraction.model,
            seen=extraction.seen,
            name=extraction.name,
            size=(backbone.height, backbone.width),
            normalisation=(backbone.mean, backbone.std),
            # such a network is filled as soon as it is built
            weights=RANDOM if filled.source == OWN_FILE else filled.source,
            sha256=filled.sha256,
            photos=extraction.photos,
            options=dataclasses.replace(extraction.options, workers=cpus - 1 if workers is None else workers),
        )

    def extraction(self) -> Extraction:
        """The extraction, in a worker."""
        from backbones.adapters import build_backbone
        from backbones.weights import fill

        mean, std = self.normalisation
        backbone = dataclasses.replace(build_backbone(self.name, self.size), mean=mean, std=std)
        filled = fill(backbone, self.weights)
        if filled.sha256 != self.sha256:
            raise FinblendError(f"--weights {self.weights}: are other weights on {socket.gethostname()}")
        return Extraction(
            project=Project.open(self.folder),
            model=self.model,
            seen=self.seen,
            backbone=backbone,
            name=self.name,
            filled=filled,
            photos=self.photos,
            options=self.options,
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a worker's run goes: every other worker's must go the same way.

    Attributes
    ----------
    folder : Path
        Named by a hash of all that decides the result: device, precision, threads, libraries, photos.
    device, precision : str
    agreement : float or None
    batch : int
    """

    folder: Path
    device: str
    precision: str
    agreement: float | None = dataclasses.field(compare=False)
    batch: int


def embedded_on(
    engine: Engine, extraction: Extraction, progress: Progress | None
) -> tuple[Run, float | None, str, int]:
    """Embed every photo on an engine.

    Returns
    -------
    run : Run
        Whose batches are all there.
    agreement : float or None
    device : str
    computed : int
        Photos that were embedded now.
    """
    import torch

    from backbones.extraction.forward import Forward
    from backbones.extraction.photo_set import PhotoSet
    from backbones.extraction.run import Grid, Run
    from backbones.extraction.views import views_of

    job = Job.of(extraction, engine.cpus or 1)
    photos, folder = extraction.photos, extraction.project.folder
    gpus = 0 if job.options.device == "cpu" else 1
    (plan,) = engine.map(partial(planned, job), [None], name="embed: plan", folder=folder, gpus=gpus)
    frame = frame_of(extraction.backbone, job.options, extraction.filled.origin)
    run = Run(
        Forward.of(extraction.backbone, torch.device("cpu")),
        PhotoSet(photos.names, photos.files, photos.boxes, frame),
        views_of(job.options.views, photos.crops),
        plan.folder,
        plan.batch,
        0,
    )
    run.forward.precision = plan.precision
    grid = Grid(len(photos.names), plan.batch)
    todo = run.missing(range(len(grid)))
    if progress is not None:
        progress("photos", len(photos.names) - sum(len(grid[index]) for index in todo), len(photos.names))
    work = partial(embedded_shard, job, plan)
    computed = sum(engine.map(work, shards(todo), name="embed", folder=folder, gpus=gpus, progress=progress))
    wait_for([run.path(index) for index in todo])
    return run, plan.agreement, plan.device, computed


# the run of the last plan: a worker embeds several shards of it
_RUNS: dict[Plan, Run] = {}


def planned(job: Job, _item: None, _progress: Progress | None) -> Plan:
    """How the run goes on this machine."""
    run, agreement = job.extraction().run()
    plan = Plan(run.folder, run.forward.device.type, run.forward.precision, agreement, run.batch)
    _RUNS.clear()
    _RUNS[plan] = run
    return plan


def embedded_shard(job: Job, plan: Plan, batches: Sequence[int], progress: Progress | None) -> int:
    """Embed some batches; the number of photos."""
    if plan not in _RUNS:
        here = planned(job, None, None)
        if here != plan:
            raise FinblendError(
                f"embed: {socket.gethostname()} computes otherwise than the first worker ({here.device}, "
                f"{here.precision}; {plan.device}, {plan.precision}): the machines of a cluster need the same kind of "
                "processor, finblend and libraries; with --precision float32 more of them are alike"
            )
    tell = None if progress is None else (lambda done, total: progress("photos", done, total))
    return _RUNS[plan].embed(batches, tell)
