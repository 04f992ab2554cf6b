"""`finblend detect train`: a detector from a table of boxes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cv.errors import FinblendError
from cv.files import sha256_of
from ensemble.detection.results import DetectTrainResult
from ensemble.detection.training_boxes import TrainingBoxes, counts, read_tables, training_boxes
from ensemble.networks.embed import require_backbones
from ensemble.networks.extraction import ExtractionOptions
from ensemble.networks.photos import refuse_problems
from ensemble.networks.run_folder import RUN_FILE, RunFolder, hash_of
from ensemble.project.lock import locked
from ensemble.project.progress import Progress
from ensemble.project.version import finblend_version

if TYPE_CHECKING:
    import torch

    from backbones.detection.recipe import DetectorRecipe

NETWORK, SIZE, MIN_SCORE = "tf_efficientnet_lite0", (256, 256), 0.3
INSTALLED = "installed"


def detect_train(
    boxes: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    images: Sequence[str | Path],
    classes: Sequence[str] = (),
    box_form: str = "auto",
    network: str = NETWORK,
    weights: str | Path = INSTALLED,
    size: tuple[int, int] = SIZE,
    recipe: DetectorRecipe | None = None,
    encounters: str | None = None,
    hold_out: float = 0.15,
    min_score: float = MIN_SCORE,
    device: str = "auto",
    workers: int | None = None,
    strict: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> DetectTrainResult:
    """Train a detector, and measure it on photos that it does not learn from.

    A call that was killed goes on after the last finished epoch, and ends with the same network. The epoch with the
    largest mean IoU on the held-out photos is kept, so that its figures are a little too good.

    Parameters
    ----------
    boxes : str or path, or several
        See `backbones.photos.read_every_box`. Photos in it without a box show no animal; others are not used.
    output : str or Path
        The detector's folder.
    images : sequence of path
        Folders that hold the photos.
    classes : sequence of str
        What the boxes show, where the tables do not say: one for all of them, or one each.
    box_form : {"auto", "xyxy", "xywh", "yolo"}
    network : str
        The body: a network of timm with stages of strides 8, 16 and 32.
    weights : str or path
        Of the body: a file, "installed" (a package of the registry), "hub" or "random".
    size : (int, int)
        Height and width that photos are shown at, between margins; multiples of 32.
    recipe : DetectorRecipe, optional
    encounters : str, optional
        `FILE:COLUMN`: photos of one encounter are held out together.
    hold_out : float
        Share of the photos that are held out.
    min_score : float
        Score from which on a box counts as found when crops are measured, and by default when it is applied.
    device : {"auto", "cpu", "cuda"}
    workers : int, optional
        Decoding processes.
    strict : bool
        Refuse when a photo is missing or unreadable.
    replace : bool
        Start anew.
    progress : callable, optional
    """
    require_backbones()
    from backbones.detection.measure import EXTRA
    from backbones.detection.network import try_detector
    from backbones.detection.recipe import DetectorRecipe
    from backbones.extraction.forward import device_of
    from backbones.vision import load
    from backbones.weights.installed import installed_weights

    # it is asked for after the first epoch: where it is absent, better now
    load("pycocotools.cocoeval", EXTRA)
    check_score(min_score)
    recipe = recipe or DetectorRecipe()
    run, on = RunFolder(Path(output)), device_of(device)
    _refuse_foreign(run.path)
    decoders = ExtractionOptions(workers=workers).decoders(on.type)
    network = network.removeprefix("timm:")
    weights = installed_weights(network) if str(weights) == INSTALLED else str(weights)
    specs = [str(boxes)] if isinstance(boxes, (str, Path)) else [str(each) for each in boxes]
    tables = read_tables(specs, box_form, classes)
    try_detector(network, size)
    data = training_boxes(
        tables,
        images,
        encounters=encounters,
        hold_out=hold_out,
        seed=recipe.seed,
        workers=decoders,
        progress=_told(progress, "photos"),
    )
    if strict:
        refuse_problems(data.problems)
    what = {
        "network": network,
        "weights": weights if weights in ("hub", "random") else sha256_of(Path(weights)),
        "size": list(size),
        "min_score": min_score,
        "hold_out": hold_out,
        "encounters": encounters is not None,
        "classes": data.classes,
        "recipe": asdict(recipe),
        "photos": hash_of([[photo.name, list(photo.size)] for photo in data.train]),
        "held_out_photos": hash_of([[photo.name, list(photo.size)] for photo in data.held_out]),
        "boxes": hash_of([[p.boxes.tolist(), p.classes.tolist()] for p in (*data.train, *data.held_out)]),
    }
    facts = {"what": what, "machine": {"device": on.type}}
    started = time.perf_counter()
    run.path.absolute().parent.mkdir(parents=True, exist_ok=True)
    with locked(run.path.absolute().with_name(f".{run.path.name}.lock"), f"{run.path}"):
        if replace or not (run.path / RUN_FILE).is_file():
            run.begin(facts, False)
        else:
            run.refuse_other(facts)
        before = run.finished
        if not before:
            _fit(run, data, what, recipe, weights, on, decoders, _told(progress, "training"))
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return _result(run, data, before, time.perf_counter() - started)


def recipe_of(**settings: Any) -> DetectorRecipe:
    """A recipe of plain values; what finblend needs for photos is asked for first."""
    require_backbones()
    from backbones.detection.recipe import DetectorRecipe

    return DetectorRecipe(**settings)


def check_score(min_score: float) -> None:
    """Refuse a score that is none."""
    from backbones.detection.network import LEAST_SCORE

    if not LEAST_SCORE <= min_score <= 1:
        raise FinblendError(f"{LEAST_SCORE} <= --min-score <= 1 must hold, but got {min_score}")


def _refuse_foreign(path: Path) -> None:
    """What is there must be a run's folder: whatever else it is, it is not ours to go on with, or to replace."""
    if path.is_file():
        raise FinblendError(f"{path}: is a file, and a folder is to be written there")
    if path.is_dir() and not (path / RUN_FILE).is_file() and any(path.iterdir()):
        raise FinblendError(f"{path}: is there and holds no detector ({RUN_FILE} is not in it); choose another place")


def _told(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _fit(
    run: RunFolder,
    data: TrainingBoxes,
    what: Mapping[str, Any],
    recipe: DetectorRecipe,
    weights: str,
    device: torch.device,
    workers: int,
    tell: Callable[[int, int], None] | None,
) -> None:
    """Train, going on where an earlier call was killed, and make the run's folder a detector."""
    import torch

    from backbones.detection.fit import BEST, Run
    from backbones.detection.network import build_detector
    from backbones.detection.photos import TrainingViews
    from backbones.detection.saved import NETWORK_FILE, DetectorFacts
    from backbones.weights import fill

    height, width = what["size"]
    # what the weights leave open is drawn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = build_detector(what["network"], len(data.classes), (height, width))
    fill(backbone, weights)
    best = Run(
        folder=run.path,
        backbone=backbone,
        train=TrainingViews(data.train, (height, width), recipe.seed),
        held_out=data.held_out,
        recipe=recipe,
        classes=len(data.classes),
        least=what["min_score"],
        device=device,
        workers=workers,
        pretrained=weights != "random",
    ).fit(tell)
    network = run.path / "checkpoints" / BEST
    DetectorFacts(
        network=what["network"],
        classes=data.classes,
        height=height,
        width=width,
        mean=list(backbone.mean),
        std=list(backbone.std),
        sha256=sha256_of(network),
        min_score=what["min_score"],
        epoch=best.epoch,
        measured=best.measured.as_row(),
        photos=len(data.train),
        held_out=len(data.held_out),
        boxes=sum(len(photo.boxes) for photo in (*data.train, *data.held_out)),
        finblend=finblend_version(),
    ).write(run.path)
    # last: where this file is, the run is finished
    network.replace(run.path / NETWORK_FILE)


def _result(run: RunFolder, data: TrainingBoxes, before: bool, seconds: float) -> DetectTrainResult:
    from backbones.curve import CURVE_FILE, read_curve
    from backbones.detection.saved import read_facts

    facts, photos = read_facts(run.path), [*data.train, *data.held_out]
    return DetectTrainResult(
        folder=run.path,
        network=facts.network,
        classes=counts(photos, data.classes),
        photos=len(data.train),
        held_out=len(data.held_out),
        without_animal=sum(not len(photo.boxes) for photo in photos),
        problems=data.problems,
        epoch=facts.epoch,
        measured=facts.measured,
        min_score=facts.min_score,
        curve=read_curve(run.path / CURVE_FILE),
        finished_before=before,
        seconds=seconds,
    )
