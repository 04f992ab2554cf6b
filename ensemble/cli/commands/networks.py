"""embed and train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli import photo_options as photo
from ensemble.cli.app import app
from ensemble.cli.options import AsJson, Engine, ProjectFolder
from ensemble.cli.terminal import print_json, print_table, progress_bars, warn

if TYPE_CHECKING:
    from ensemble.networks.results import ExtractionResult, FinishedBefore, RegisteredNow

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is registered.")]


@app.command()
def embed(
    folder: ProjectFolder,
    model: Model,
    backbone: photo.Backbone,
    images: photo.Images,
    weights: photo.Weights = "hub",
    frozen: Annotated[bool, typer.Option("--frozen", help="The network has seen no label of this catalogue.")] = False,
    fold: Annotated[
        int | None, typer.Option(metavar="K", help="The network has seen every label but fold K's.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The network has seen every label.")] = False,
    views: photo.Views = "orig,hflip",
    boxes: photo.Boxes = None,
    crop: photo.Crop = None,
    box_form: photo.BoxForm = "auto",
    size: photo.Size = None,
    resize: photo.Resize = None,
    normalise: photo.Normalise = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Photos a batch; 32 on a CPU, 128 on a GPU.")
    ] = None,
    device: photo.Device = "auto",
    precision: photo.Precision = "auto",
    workers: photo.Workers = None,
    strict: photo.Strict = False,
    replace: Replace = False,
    engine: Engine = "here",
    json: AsJson = False,
) -> None:
    """Embed every train and test photo with one network, and register it. A call that was killed goes on.

    Example: finblend embed P lite0 --backbone timm:tf_efficientnet_lite0 --weights lite0.safetensors --images photos
    --frozen
    """
    from backbones.adapters.contract import parse_size
    from ensemble.networks.embed import embed as run

    with progress_bars() as progress:
        result = run(
            folder,
            model,
            backbone=backbone,
            weights=weights,
            images=images,
            frozen=frozen,
            fold=fold,
            full=full,
            boxes=boxes or [],
            crops=crop or [],
            box_form=box_form,
            size=parse_size(size),
            normalise=normalise,
            replace=replace,
            engine=engine,
            progress=progress,
            views=_listed(views),
            resize=resize,
            batch_size=batch_size,
            device=device,
            precision=precision,
            workers=workers,
            strict=strict,
        )
    warn(result.warnings)
    photo.warn_of_photos(result)
    if json:
        print_json(result)
        return
    print(_registered(model, result))
    print(photo.format_extraction(result))


@app.command()
def train(
    folder: ProjectFolder,
    model: Model,
    backbone: photo.Backbone,
    images: photo.Images,
    weights: photo.Weights = "hub",
    folds: Annotated[str, typer.Option(metavar="all|K,...|full", help="Which networks to train.")] = "all",
    epochs: Annotated[int, typer.Option(metavar="N")] = 20,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Photos a step and device.")] = 32,
    lr_body: Annotated[float, typer.Option(metavar="X", help="Learning rate of the pretrained body.")] = 3e-4,
    lr_head: Annotated[float, typer.Option(metavar="X", help="Learning rate of everything else.")] = 3e-3,
    weight_decay: Annotated[float, typer.Option(metavar="X")] = 0.05,
    warmup: Annotated[float, typer.Option(metavar="S", help="Share of the steps in which the rates rise.")] = 0.1,
    ema: Annotated[float, typer.Option(metavar="X", help="Decay of averaged weights; 0: none.")] = 0.0,
    share_power: Annotated[
        float,
        typer.Option(metavar="X", help="0: every photo is drawn alike; 1: every individual; 0.5: between."),
    ] = 0.5,
    species_weight: Annotated[float, typer.Option(metavar="X", help="Weight of the species head's loss.")] = 0.1,
    seed: Annotated[int, typer.Option(metavar="N")] = 0,
    local: Annotated[
        bool, typer.Option("--local", help="Train a head for local features along, for --features delg:RUN.")
    ] = False,
    sub_centers: Annotated[int, typer.Option(metavar="N", help="Centres of an individual; 1: plain ArcFace.")] = 3,
    scale: Annotated[float, typer.Option(metavar="S", help="ArcFace's s.")] = 30.0,
    margin: Annotated[float, typer.Option(metavar="M", help="ArcFace's m, in radians.")] = 0.3,
    easy_margin: Annotated[bool, typer.Option("--easy-margin", help="A margin only where the cosine is > 0.")] = False,
    label_smoothing: Annotated[float, typer.Option(metavar="S")] = 0.0,
    margin_by_count: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Margins A n^-B + C for n photos (Happywhale's 1st: 0.271,0.364,0.05)."),
    ] = None,
    rotate: Annotated[float, typer.Option(metavar="DEG", help="Rotation up to so many degrees.")] = 25.0,
    rotate_share: Annotated[float, typer.Option(metavar="S", help="Share of photos that are rotated.")] = 0.5,
    flip: Annotated[float, typer.Option(metavar="S", help="Share of photos that are mirrored.")] = 0.5,
    hue: Annotated[float, typer.Option(metavar="X", help="Shift of hue, as a share of the circle.")] = 0.2,
    saturation: Annotated[float, typer.Option(metavar="X", help="Factor within 1 - X and 1 + X.")] = 0.3,
    value: Annotated[float, typer.Option(metavar="X", help="Factor within 1 - X and 1 + X.")] = 0.2,
    contrast: Annotated[float, typer.Option(metavar="X", help="Factor within 1 - X and 1 + X.")] = 0.2,
    brightness: Annotated[float, typer.Option(metavar="X", help="Added, as a share of white.")] = 0.2,
    cutout: Annotated[int, typer.Option(metavar="N", help="Grey squares of an eighth of the side.")] = 0,
    jitter: Annotated[float, typer.Option(metavar="S", help="Edges of boxes move by this share.")] = 0.05,
    pseudo: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|round-N",
            help="Pseudo-labels image,individual_id,conf ({fold} stands for fold-K or full), or a merged round.",
        ),
    ] = None,
    pseudo_min: Annotated[float, typer.Option(metavar="C", help="Least confidence of a pseudo-label.")] = 0.0,
    watch: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Every N epochs measure the fold's own photos, for the curve only (not of --ema's weights).",
        ),
    ] = 0,
    views: photo.Views = "orig,hflip",
    boxes: photo.Boxes = None,
    crop: photo.Crop = None,
    box_form: photo.BoxForm = "auto",
    size: photo.Size = None,
    resize: photo.Resize = None,
    normalise: photo.Normalise = None,
    device: photo.Device = "auto",
    devices: Annotated[int, typer.Option(metavar="N", help="How many of them.")] = 1,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Lightning's strategy for several.")] = "auto",
    precision: photo.Precision = "auto",
    workers: photo.Workers = None,
    strict: photo.Strict = False,
    replace: Annotated[bool, typer.Option("--replace", help="Start anew; replace what is registered.")] = False,
    engine: Engine = "here",
    json: AsJson = False,
) -> None:
    """Train one network a fold with ArcFace; each embeds and registers every photo when it is done.

    A fold's network never sees that fold's labels. A call that was killed goes on after the last finished epoch.

    Example: finblend train P b7 --backbone effnet-b7-dolg --images photos --folds all --epochs 20 --size 512
    """
    from backbones.adapters.contract import parse_size
    from ensemble.networks.results import RegisteredNow
    from ensemble.networks.train import recipe_of
    from ensemble.networks.train import train as run

    recipe = recipe_of(
        epochs=epochs,
        batch_size=batch_size,
        lr_body=lr_body,
        lr_head=lr_head,
        weight_decay=weight_decay,
        warmup=warmup,
        ema=ema,
        share_power=share_power,
        species_weight=species_weight,
        seed=seed,
        local=local,
        head={
            "sub_centers": sub_centers,
            "scale": scale,
            "margin": margin,
            "easy_margin": easy_margin,
            "label_smoothing": label_smoothing,
            "margin_by_count": _numbers(margin_by_count),
        },
        augment={
            "rotate": rotate,
            "rotate_share": rotate_share,
            "flip": flip,
            "hue": hue,
            "saturation": saturation,
            "value": value,
            "contrast": contrast,
            "brightness": brightness,
            "cutout": cutout,
            "jitter": jitter,
        },
    )
    with progress_bars() as progress:
        result = run(
            folder,
            model,
            backbone=backbone,
            weights=weights,
            images=images,
            recipe=recipe,
            folds=folds,
            pseudo=pseudo,
            pseudo_min=pseudo_min,
            boxes=boxes or [],
            crops=crop or [],
            box_form=box_form,
            size=parse_size(size),
            normalise=normalise,
            devices=devices,
            strategy=strategy,
            watch=watch,
            replace=replace,
            engine=engine,
            progress=progress,
            views=_listed(views),
            resize=resize,
            device=device,
            precision=precision,
            workers=workers,
            strict=strict,
        )
    warn(result.warnings)
    for network in result.runs:
        if isinstance(network, RegisteredNow):
            photo.warn_of_photos(network)
    if json:
        print_json(result)
        return
    for network in result.runs:
        _print_run(model, network)
    print(f"Next: finblend models {folder}")


def _print_run(model: str, network: FinishedBefore | RegisteredNow) -> None:
    from ensemble.networks.results import RegisteredNow

    curve = network.curve
    names = list(dict.fromkeys(name for row in curve for name in row))
    rows = [[int(row[name]) if name == "epoch" else row.get(name) for name in names] for row in curve]
    pseudo = f", {network.pseudo} of them pseudo-labelled" if network.pseudo else ""
    note = f"trained on {network.photos} photos of {network.classes} individuals{pseudo}; {network.folder}"
    print_table(f"{model} {network.seen}", names, rows, note)
    if isinstance(network, RegisteredNow):
        print(_registered(model, network))
        print(photo.format_extraction(network))
    else:
        print(f"{model} {network.seen}: was finished and registered before")


def _registered(model: str, result: ExtractionResult) -> str:
    views = ", ".join(f"{name} ({width} wide)" for name, width in result.views.items())
    photos = f"{result.train_images} train and {result.test_images} test photos"
    return f"{model} {result.seen}: {photos}, views {views}"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _numbers(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        from cv.errors import FinblendError

        raise FinblendError(f"--margin-by-count must be three numbers A,B,C, but got '{text}'") from None
