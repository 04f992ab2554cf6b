"""Options of the commands that read photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.terminal import counted, warn

if TYPE_CHECKING:
    from ensemble.networks.results import ExtractionResult

Backbone = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="effnet-b7-dolg, convnext-base-arcface (any size), timm:NAME, timm-gem:NAME, onnx:FILE, or an installed "
        "package's.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="FILE|RUN|hub|random", help="A checkpoint, a folder of a training run, timm's hub, or none at all."
    ),
]
Images = Annotated[
    list[Path],
    typer.Option(metavar="DIR|ZIP|TFRECORDS", help="Photos: a folder, a .zip, 'records/*.tfrec'; may be given again."),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[:COLUMN]|COLUMN",
        help="Where the animal is: a table, a column of the catalogue, a folder of YOLO labels, a COCO file. "
        "May be given again.",
    ),
]
Crop = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="What the boxes show, as a view's name: one for all --boxes, or one each."),
]
BoxForm = Annotated[str, typer.Option(metavar="auto|xyxy|xywh|yolo", help="What a box's four numbers are.")]
Size = Annotated[
    str | None, typer.Option(metavar="N|HxW", help="Size in pixels; by default what the network was trained at.")
]
Resize = Annotated[
    str | None,
    typer.Option(metavar="squash|pad|crop", help="How a photo is brought to that size (default squash)."),
]
Normalise = Annotated[
    str | None, typer.Option(metavar="imagenet|half", help="Instead of the network's own mean and std.")
]
Views = Annotated[str, typer.Option(metavar="orig,hflip", help="Ways of showing each photo, or each of its crops.")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|float32|bfloat16",
        help="auto: bfloat16 where the hardware has it; embeddings must agree with float32 to cosine 0.999.",
    ),
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Decoding processes; by default the spare cores.")]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Read all photos first, and refuse when one is missing, unreadable or truncated."),
]
# photos with problems that are shown; --json has them all
SHOWN = 10


def format_extraction(result: ExtractionResult) -> str:
    """One line on how embedding went."""
    if not result.computed:
        return "every photo was embedded by an earlier call"
    line = f"{counted(result.computed, 'photo')} embedded, {result.photos_per_second:.0f} a second"
    line += f", on {result.device} in {result.precision}"
    agreement = result.agreement
    if agreement is not None and result.precision == "float32":
        line += f" (bfloat16 would agree to cosine {agreement:.4f} only)"
    elif agreement is not None:
        line += f" (agrees with float32 to cosine {agreement:.4f})"
    return line


def problem_lines(problems: Mapping[str, str], one: str, many: str) -> list[str]:
    """The first photos with what is wrong with them, under their number; nothing where there are none."""
    if not problems:
        return []
    lines = [f"{counted(len(problems), one, many)}:"]
    lines += [f"  {image}: {note}" for image, note in list(problems.items())[:SHOWN]]
    more = len(problems) - SHOWN
    return [*lines, f"  and {more} more (--json lists them all)"] if more > 0 else lines


def warn_of_photos(result: ExtractionResult) -> None:
    """What was wrong with photos and boxes, what stands for photos that could not be read, and what to do."""
    problems, unreadable = result.problems, result.stand_ins
    lines = problem_lines(problems, "photo has a problem", "photos have problems")
    if unreadable:
        lines.append(
            f"{counted(len(unreadable), 'photo')} could not be read: a random direction, which resembles nobody, "
            + ("stands for it" if len(unreadable) == 1 else "stands for each of them")
        )
    if problems:
        lines.append("mend these files, then run the same command with --replace")
    if result.photos_without_box:
        unboxed = counted(result.photos_without_box, "photo has no box; it is", "photos have no box; they are")
        lines.append(f"{unboxed} shown whole")
    if result.boxes_too_small:
        small = counted(
            result.boxes_too_small, "box is too small; its photo is", "boxes are too small; their photos are"
        )
        lines.append(f"{small} shown whole")
    warn(lines)
