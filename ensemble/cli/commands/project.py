"""init, register, models."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import (
    AsJson,
    Engine,
    GalleryMix,
    LeaveOut,
    Neighbours,
    NewShare,
    ProjectFolder,
    gallery_exponent,
)
from ensemble.cli.summaries import print_estimate
from ensemble.cli.terminal import print_json, print_table, progress_bars, warn

if TYPE_CHECKING:
    from ensemble.project.create import InitResult


@app.command()
def init(
    folder: ProjectFolder,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled photos: image,species,individual_id or image_id,identity,... (.csv, .parquet, TFRecords).",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Photos to name; by default the train rows with identity 'unknown'."),
    ] = None,
    kaggle: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|ZIP", help="A competition as downloaded, instead of --train and --test."),
    ] = None,
    folds: Annotated[str, typer.Option(metavar="N|FILE:COLUMN", help="How many folds, or the folds you have.")] = "5",
    encounters: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:COLUMN|COLUMN", help="Photos of one sighting share a value; they never straddle folds."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:COLUMN|COLUMN",
            help="Instead of --test: train (database) or test (query); names of test photos stay out of the project.",
        ),
    ] = None,
    test_species: Annotated[
        str | None, typer.Option(metavar="FILE:COLUMN", help="Species of test photos, where known.")
    ] = None,
    species_map: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|none", help="Species repairs: JSON {raw: right} or CSV raw,repaired; default: Happywhale's."
        ),
    ] = None,
    hold_out: Annotated[
        int,
        typer.Option(
            metavar="N", help="So many individuals with several encounters are strangers too: all photos in one fold."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the folds and of who is held out.")] = 0,
    json: AsJson = False,
) -> None:
    """Make a project: read the catalogue, repair species names, assign folds.

    Example: finblend init P --train train.csv --test sample_submission.csv --folds 5
    """
    from ensemble.project.create import init as make
    from ensemble.project.init_warnings import init_warnings

    result = make(
        folder,
        train=train,
        test=test,
        kaggle=kaggle,
        folds=folds,
        encounters=encounters,
        split=split,
        test_species=test_species,
        species_map=species_map,
        seed=seed,
        hold_out=hold_out,
    )
    warn(init_warnings(result.as_dict()))
    if json:
        print_json(result)
        return
    print(
        f"{result.train_images} train photos of {result.individuals} individuals, {result.species} species; "
        f"{result.test_images} test photos"
    )
    for repair in result.repairs:
        print(f"species {repair.raw} -> {repair.repaired} ({repair.photos} photos)")
    print(_strangers(result))
    rows = [[fold, counts.photos, counts.strangers] for fold, counts in result.folds.items()]
    print_table("Folds", ["fold", "photos", "strangers"], rows)
    if result.photos:
        print("photos: " + shlex.join(word for place in result.photos for word in ("--images", place)))


def _strangers(result: InitResult) -> str:
    text = f"{result.single_photo_individuals} individuals have one photo"
    if result.encounters:
        text += f", {result.single_encounter_individuals} more have one encounter"
    if result.held_out_individuals:
        text += f", {result.held_out_individuals} are held out"
    return f"{text}: strangers in their own fold, {100 * result.new_share:.1f} % of the train photos"


@app.command()
def register(
    folder: ProjectFolder,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    train: Annotated[
        str,
        typer.Option(
            metavar="FILE[:KEY]",
            help="Embeddings of the train photos: .npz, .npy (or 'shards_*.npy'), .parquet, .csv, .safetensors.",
        ),
    ],
    test: Annotated[
        str, typer.Option(metavar="FILE[:KEY]", help="Embeddings of the test photos; may be the same file.")
    ],
    frozen: Annotated[bool, typer.Option("--frozen", help="The network has seen no label of this catalogue.")] = False,
    fold: Annotated[
        int | None, typer.Option(metavar="K", help="The network has seen every label but fold K's.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The network has seen every label.")] = False,
    train_names: Annotated[
        str | None, typer.Option(metavar="FILE[:KEY]", help="Image name of each train row, where the file has none.")
    ] = None,
    test_names: Annotated[str | None, typer.Option(metavar="FILE[:KEY]", help="Image name of each test row.")] = None,
    view: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the view (default orig); added if new."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The order of classes that pred_idx counts in; kept.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The network's weights; their hash is kept.")
    ] = None,
    transform: Annotated[
        str | None, typer.Option(metavar="TEXT", help="How photos were shown to the network; kept.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is registered.")] = False,
    json: AsJson = False,
) -> None:
    """Register the embeddings that one network made of every train and test photo.

    Example: finblend register P b7 --fold 0 --train b7_fold0.npz --test b7_fold0.npz
    """
    from ensemble.registry.register import register as add

    result = add(
        folder,
        model,
        train=train,
        test=test,
        frozen=frozen,
        fold=fold,
        full=full,
        train_names=train_names,
        test_names=test_names,
        view=view,
        labels=labels,
        weights=weights,
        transform=transform,
        replace=replace,
    )
    warn(result.warnings)
    if json:
        print_json(result)
        return
    views = ", ".join(f"{name} ({width} wide)" for name, width in result.views.items())
    print(f"{model} {result.seen}: {result.train_images} train and {result.test_images} test photos, views {views}")


@app.command()
def models(
    folder: ProjectFolder,
    new_share: NewShare = None,
    gallery_mix: GalleryMix = "0.9",
    leave_out: LeaveOut = None,
    neighbours: Neighbours = "exact",
    engine: Engine = "here",
    json: AsJson = False,
) -> None:
    """Score each registered model alone, out-of-fold.

    Example: finblend models P --new-share 0.112
    """
    from ensemble.evaluation.models import models as score

    with progress_bars() as progress:
        exponent = gallery_exponent(gallery_mix)
        result = score(
            folder,
            new_share=new_share,
            gallery_exponent=exponent,
            leave_out=leave_out,
            neighbours=neighbours,
            engine=engine,
            progress=progress,
        )
    warn(result.warnings + [row.reason for row in result.models if row.reason])
    if json:
        print_json(result)
        return
    rows = [
        [row.model, row.map5, row.known, row.whitening, ", ".join(row.views), _stores(row.stores)]
        for row in sorted(result.models, key=lambda row: -(row.map5 or 0.0))
    ]
    header = ["model", "MAP@5", "known only", "whitening", "views", "stores"]
    print_table(f"Models in {folder}", header, rows, result.measured, spare=["whitening", "views", "stores"])
    print_estimate(result.estimate)
    for source in result.pair_sources:
        print(
            f"pair source {source.name}: {source.train_pairs} train and {source.test_pairs} test pairs, {source.made}"
        )


def _stores(stores: list[str]) -> str:
    folds = [name.removeprefix("fold-") for name in stores if name.startswith("fold-")]
    rest = [name for name in stores if not name.startswith("fold-")]
    return ", ".join(([f"folds {' '.join(folds)}"] if folds else []) + rest)
