"""`finblend detect apply`: boxes of the animals on every photo of some folders."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cv.errors import FinblendError
from cv.files import read_json, write_json, written_beside
from ensemble.detection.listing import list_photos
from ensemble.detection.results import DetectApplyResult
from ensemble.detection.train import check_score
from ensemble.networks.embed import require_backbones
from ensemble.networks.extraction import ExtractionOptions
from ensemble.networks.run_folder import hash_of
from ensemble.project.lock import locked
from ensemble.project.outputs import refuse_output
from ensemble.project.progress import Progress

if TYPE_CHECKING:
    from backbones.detection.network import Detector
    from backbones.detection.saved import DetectorFacts

BATCH = 32
# batches kept in one file
TOGETHER = 8
HEADER = ("image", "bbox", "score", "class")


@dataclass(frozen=True)
class OnPhoto:
    """What is kept of one photo until the table is written: boxes with score and class, and what was wrong."""

    boxes: list[tuple[list[int], float, str]]
    note: str
    failed: bool


def detect_apply(
    detector: str | Path,
    output: str | Path,
    *,
    images: Sequence[str | Path],
    min_score: float | None = None,
    classes: Sequence[str] = (),
    every: bool = False,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> DetectApplyResult:
    """Look at every photo of some folders, and write the boxes that `--boxes` of `embed`, `train` and `match` takes.

    A photo has one row: `image, bbox, score, class`, its box as `[[x1 y1 x2 y2]]` in pixels; empty cells where no box
    has the least score. A call that was killed goes on with what it has not looked at yet.

    Parameters
    ----------
    detector : str or Path
        The folder of `detect_train`.
    output : str or Path
        The CSV to write.
    images : sequence of path
        Folders.
    min_score : float, optional
        Least score of a box; by default that which the detector was measured with.
    classes : sequence of str
        Only boxes of these classes.
    every : bool
        All boxes of a photo, the best first, in its one row; by default the best one alone.
    device : {"auto", "cpu", "cuda"}
    workers : int, optional
        Decoding processes.
    progress : callable, optional
    """
    require_backbones()
    from backbones.detection.saved import read_facts
    from backbones.extraction.forward import device_of

    facts, out = read_facts(Path(detector)), Path(output)
    least = facts.min_score if min_score is None else min_score
    check_score(least)
    wanted = {facts.classes[facts.class_number(name)] for name in classes} or set(facts.classes)
    refuse_output(out)
    _refuse_foreign_table(out)
    on, files = device_of(device), list_photos(images)
    started = time.perf_counter()
    with locked(out.absolute().with_name(f".{out.name}.lock"), str(out)):
        seen, computed = _looked_at(
            Path(detector), facts, least, files, out.with_name(f"{out.name}.parts"), on.type,
            ExtractionOptions(workers=workers).decoders(on.type), progress,
        )  # fmt: skip
        rows = {
            name: [box for box in each.boxes if box[2] in wanted][: None if every else 1] for name, each in seen.items()
        }
        write_boxes(out, rows)
        shutil.rmtree(out.with_name(f"{out.name}.parts"), ignore_errors=True)
    seconds = time.perf_counter() - started
    return DetectApplyResult(
        path=out,
        photos=len(files),
        boxes=dict(sorted(Counter(kind for boxes in rows.values() for _, _, kind in boxes).items())),
        without_box=[name for name, boxes in rows.items() if not boxes and not seen[name].failed],
        problems={name: each.note for name, each in seen.items() if each.note},
        min_score=least,
        computed=computed,
        seconds=seconds,
        photos_per_second=computed / max(seconds, 1e-9),
    )


def _refuse_foreign_table(path: Path) -> None:
    """A table that is there must be one of these: boxes that people have drawn are not made again in minutes."""
    if path.is_file():
        with path.open("rb") as file:
            header = file.readline(99).strip()
        if header not in (b"", ",".join(HEADER).encode()):
            raise FinblendError(f"{path}: is there already and no table of detect apply; choose another name")


def _looked_at(
    folder: Path,
    facts: DetectorFacts,
    least: float,
    files: Mapping[str, Path],
    parts: Path,
    device: str,
    workers: int,
    progress: Progress | None,
) -> tuple[dict[str, OnPhoto], int]:
    """What is on every photo, and how many photos this call looked at; finished parts stay beside the table."""
    from backbones.photos.members import stamp

    stamps = [[name, *stamp(path)] for name, path in files.items()]
    run = {"detector": facts.sha256, "min_score": least, "photos": hash_of(stamps)}
    about = parts / "run.json"
    if not about.is_file() or read_json(about) != run:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        write_json(about, run)
    names = list(files)
    step = BATCH * TOGETHER
    grid = [names[start : start + step] for start in range(0, len(names), step)]
    todo = [n for n in range(len(grid)) if not _part(parts, n).is_file()]
    n_todo = sum(len(grid[n]) for n in todo)
    if progress is not None:
        progress("photos", len(names) - n_todo, len(names))
    if todo:
        paths = [str(files[name]) for n in todo for name in grid[n]]
        found = _found(_load(folder, facts, device), facts, least, paths, workers)
        for n in todo:
            kept = []
            for _ in grid[n]:
                kept.append(next(found))
                if progress is not None:
                    progress("photos", 1, len(names))
            write_json(_part(parts, n), kept)
    seen: dict[str, OnPhoto] = {}
    for n, some in enumerate(grid):
        seen |= {name: OnPhoto(*each) for name, each in zip(some, read_json(_part(parts, n)), strict=True)}
    return seen, n_todo


def _part(parts: Path, n: int) -> Path:
    return parts / f"{n:06d}.json"


def _load(folder: Path, facts: DetectorFacts, device: str) -> Detector:
    """The network, on its device."""
    import torch
    from safetensors.torch import load_file

    from backbones.detection.network import Detector, build_detector
    from backbones.detection.saved import NETWORK_FILE, refuse_other_network

    refuse_other_network(folder, facts)
    backbone = build_detector(facts.network, len(facts.classes), (facts.height, facts.width))
    try:
        backbone.network.load_state_dict(load_file(str(folder / NETWORK_FILE)))
    except Exception:  # safetensors and torch each have errors of their own
        raise FinblendError(
            f"{folder / NETWORK_FILE}: does not fit {facts.network} as this finblend builds it"
        ) from None
    backbone.network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Detector(backbone, torch.device(device))


def _found(
    detector: Detector, facts: DetectorFacts, least: float, files: Sequence[str], workers: int
) -> Iterator[list[Any]]:
    """What is found on each photo, as JSON keeps it."""
    from backbones.detection.look import look

    batches = [range(start, min(start + BATCH, len(files))) for start in range(0, len(files), BATCH)]
    for batch in look(detector, files, batches, workers):
        for seen, photo in batch:
            found = seen.above(least)
            boxes = [
                [[round(edge) for edge in box], round(score, 4), facts.classes[kind]]
                for box, score, kind in zip(
                    found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
                )
            ]
            # what rounding leaves no pixel of is no box
            kept = [each for each in boxes if each[0][2] > each[0][0] and each[0][3] > each[0][1]]
            yield [kept, photo.note, photo.failed]


def write_boxes(path: Path, rows: Mapping[str, list[tuple[list[int], float, str]]]) -> None:
    """The table; a cell with several boxes has lists in all three columns."""
    with written_beside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for name, boxes in rows.items():
            cells = ["", "", ""]
            if boxes:
                drawn = " ".join(f"[{' '.join(map(str, box))}]" for box, _, _ in boxes)
                scores, kinds = [f"{score:.4f}" for _, score, _ in boxes], [kind for _, _, kind in boxes]
                alone = len(boxes) == 1
                cells = [
                    f"[{drawn}]",
                    scores[0] if alone else f"[{' '.join(scores)}]",
                    kinds[0] if alone else json.dumps(kinds, ensure_ascii=False),
                ]
            writer.writerow([name, *cells])
