"""detect train, detect apply."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import photo_options as photo
from ensemble.cli.app import app
from ensemble.cli.options import AsJson
from ensemble.cli.terminal import counted, print_json, print_table, progress_bars, say, warn

detect = typer.Typer(no_args_is_help=True, help="Find the animals on photos: a detector for crops.")
app.add_typer(detect, name="detect", help="Find the animals on photos: a detector for crops.")

# held-out photos of which figures are mostly luck
FEW = 20
FIGURES = {
    "map50": "mAP@50",
    "mean_iou": "mean IoU of the best box",
    "recall": "true boxes found",
    "false_alarms": "false alarms on photos without an animal",
}


@detect.command("train")
def train(
    boxes: Annotated[
        list[str],
        typer.Argument(
            metavar="BOXES...",
            help="FILE[:COLUMN], a folder of YOLO labels, a COCO file. All boxes of a photo count; one without a box "
            "shows no animal; photos that are not in it are not used.",
        ),
    ],
    images: photo.Images,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DETECTOR", help="The detector's folder.")],
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="What the boxes show: one for all BOXES, or one each."),
    ] = None,
    network: Annotated[
        str, typer.Option(metavar="NAME", help="The body: a network of timm with strides 8, 16 and 32.")
    ] = "tf_efficientnet_lite0",
    weights: Annotated[
        str,
        typer.Option(metavar="FILE|installed|hub|random", help="Of the body; installed: a package of the registry."),
    ] = "installed",
    epochs: Annotated[int, typer.Option(metavar="N")] = 10,
    size: Annotated[
        str, typer.Option(metavar="N|HxW", help="Size that photos are shown at, between margins; multiples of 32.")
    ] = "256",
    batch_size: Annotated[int, typer.Option(metavar="N", help="Photos a step.")] = 4,
    lr_body: Annotated[float, typer.Option(metavar="X", help="Learning rate of the body.")] = 4e-4,
    lr_head: Annotated[float, typer.Option(metavar="X", help="Learning rate of everything else.")] = 1e-3,
    box_form: photo.BoxForm = "auto",
    encounters: Annotated[
        str | None, typer.Option(metavar="FILE:COLUMN", help="Photos of one encounter are held out together.")
    ] = None,
    hold_out: Annotated[float, typer.Option(metavar="S", help="Share of the photos to measure on.")] = 0.15,
    min_score: Annotated[float, typer.Option(metavar="S", help="From which score on a box is one.")] = 0.3,
    seed: Annotated[int, typer.Option(metavar="N")] = 0,
    device: photo.Device = "auto",
    workers: photo.Workers = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse when a photo is missing or cannot be read.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Start anew.")] = False,
    json: AsJson = False,
) -> None:
    """Train a detector on boxes, and measure it on held-out photos. A call that was killed goes on.

    Example: finblend detect train boxes.csv --images photos -o fin-detector
    """
    from backbones.adapters.contract import parse_size
    from ensemble.detection.train import detect_train, recipe_of

    recipe = recipe_of(epochs=epochs, batch_size=batch_size, lr_body=lr_body, lr_head=lr_head, seed=seed)
    with progress_bars() as progress:
        result = detect_train(
            boxes,
            output,
            images=images,
            classes=classes or [],
            box_form=box_form,
            network=network,
            weights=weights,
            size=parse_size(size) or (0, 0),
            recipe=recipe,
            encounters=encounters,
            hold_out=hold_out,
            min_score=min_score,
            device=device,
            workers=workers,
            strict=strict,
            replace=replace,
            progress=progress,
        )
    warn(photo.problem_lines(result.problems, "photo is not used", "photos are not used"))
    if json:
        print_json(result)
        return
    if result.finished_before:
        print(f"{output}: was finished before")
    columns = ["epoch", "loss", *FIGURES, "seconds"]
    shown = [name for name in columns if any(name in row for row in result.curve)]
    rows = [[int(row[name]) if name == "epoch" else row.get(name) for name in shown] for row in result.curve]
    print_table("Epochs", shown, rows)
    kinds = ", ".join(f"{name} {number}" for name, number in result.classes.items())
    say(f"{counted(sum(result.classes.values()), 'box', 'boxes')}: {kinds}; {result.without_animal} without an animal")
    say(f"learned from {counted(result.photos, 'photo')}, measured on {result.held_out} others")
    say(f"epoch {result.epoch} is kept: {format_measured(result.measured)}")
    unsure = []
    if result.held_out < FEW:
        unsure.append(f"{counted(result.held_out, 'held-out photo')}: figures of so few are mostly luck")
    if not result.measured["mean_iou"]:
        unsure.append(
            f"no box on the held-out photos has a score of {result.min_score:g} (mAP@50 counts those below, too): "
            "it would find nothing; more photos, more --epochs, or real --weights"
        )
    warn(unsure)
    say(f"Next: {shlex.join(['finblend', 'detect', 'apply', str(output)])} --images PHOTOS -o found.csv")


def format_measured(measured: Mapping[str, float]) -> str:
    """Figures in a line."""
    return ", ".join(f"{FIGURES[name]} {value:.4f}" for name, value in measured.items())


@detect.command("apply")
def apply(
    detector: Annotated[Path, typer.Argument(metavar="DETECTOR", help="The folder of detect train.")],
    images: photo.Images,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The table of boxes to write.")],
    min_score: Annotated[
        float | None, typer.Option(metavar="S", help="Least score of a box; by default the detector's own.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Only this class; may be given again.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All boxes of a photo, not the best one alone.")] = False,
    device: photo.Device = "auto",
    workers: photo.Workers = None,
    json: AsJson = False,
) -> None:
    """Find the animals on every photo of some folders; --boxes of embed, train and match takes the table.

    Example: finblend detect apply fin-detector --images photos -o found.csv
    """
    from ensemble.detection.apply import detect_apply

    with progress_bars() as progress:
        result = detect_apply(
            detector,
            output,
            images=images,
            min_score=min_score,
            classes=classes or [],
            every=every,
            device=device,
            workers=workers,
            progress=progress,
        )
    warn(photo.problem_lines(result.problems, "photo has a problem", "photos have problems"))
    if json:
        print_json(result)
        return
    kinds = ", ".join(f"{name} {number}" for name, number in result.boxes.items()) or "none"
    say(f"{output}: {counted(result.photos, 'photo')}; boxes of a score from {result.min_score:g} on: {kinds}")
    if result.without_box:
        named = ", ".join(result.without_box[: photo.SHOWN])
        more = len(result.without_box) - photo.SHOWN
        say(
            f"{counted(len(result.without_box), 'photo has', 'photos have')} no box: {named}"
            + (f" and {more} more (--json lists them all)" if more > 0 else "")
        )
    if result.computed:
        say(f"{counted(result.computed, 'photo')} looked at, {result.photos_per_second:.0f} a second")
