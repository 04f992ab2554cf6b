"""tune, evaluate."""

from __future__ import annotations

from typing import Annotated

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
from ensemble.cli.summaries import print_evaluated, print_tuned
from ensemble.cli.terminal import print_json, progress_bars, warn


@app.command()
def tune(
    folder: ProjectFolder,
    trials: Annotated[
        int, typer.Option(metavar="N", help="How many more trials than there are; 0: the best so far.")
    ] = 100,
    new_share: NewShare = None,
    gallery_mix: GalleryMix = "0.9",
    leave_out: LeaveOut = None,
    neighbours: Neighbours = "exact",
    sampler: Annotated[str, typer.Option(metavar="tpe|random", help="Who proposes trials.")] = "tpe",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampler.")] = 0,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Stop drawing trials after S seconds.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Blend only these models (repeat it); default: all.")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|none", help="Weigh only these pair sources (repeat it), or none; default: all."),
    ] = None,
    nested_trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Trials per fold for the nested score; default: as many as there are, at most 100; 0: none.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="postgresql://USER@HOST/DATABASE that holds the trials of processes on many machines, without a "
            "password (~/.pgpass, PGPASSWORD); default: P/study.journal.",
        ),
    ] = None,
    engine: Engine = "here",
    json: AsJson = False,
) -> None:
    """Tune the blend on out-of-fold MAP@5: weights, photos per individual, species penalty, background, threshold.

    Several processes may tune one project at the same time: they share their trials.

    Example: finblend tune P --trials 200 --new-share 0.112
    """
    from ensemble.outputs.export import refuse_password
    from ensemble.tuning.tune import tune as run

    refuse_password(study, "--study", "put it into ~/.pgpass or PGPASSWORD")
    with progress_bars() as progress:
        result = run(
            folder,
            trials=trials,
            new_share=new_share,
            gallery_exponent=gallery_exponent(gallery_mix),
            sampler=sampler,
            seed=seed,
            timeout=timeout,
            models=model or None,
            leave_out=leave_out,
            neighbours=neighbours,
            pairs=[] if pairs == ["none"] else pairs or None,
            nested_trials=nested_trials,
            study=study,
            engine=engine,
            progress=progress,
        )
    warn(result.warnings)
    if result.interrupted:
        written = "the best blend so far is written" + ("" if result.nested else ", without an honest score")
        warn([f"interrupted: {written}; the same command goes on (with --trials 0 it does only what is missing)"])
    if json:
        print_json(result)
        return
    print_tuned(result)


@app.command()
def evaluate(
    folder: ProjectFolder,
    new_share: NewShare = None,
    gallery_mix: Annotated[
        str | None, typer.Option(metavar="E|raw", help="Another gallery mix than the blend's.")
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="Also tune without each fold in turn and score that fold.")
    ] = False,
    nested_trials: Annotated[int, typer.Option(metavar="N", help="Trials per fold, for --nested.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the nested trials.")] = 0,
    engine: Engine = "here",
    json: AsJson = False,
) -> None:
    """Score the tuned blend out-of-fold: overall, known and new, per species; with --nested, honestly.

    Example: finblend evaluate P --nested
    """
    from ensemble.evaluation.evaluate import evaluate as score

    exponent = gallery_exponent(gallery_mix) if gallery_mix is not None else "blend"
    with progress_bars() as progress:
        result = score(
            folder,
            new_share=new_share,
            gallery_exponent=exponent,
            nested=nested,
            nested_trials=nested_trials,
            seed=seed,
            engine=engine,
            progress=progress,
        )
    warn(result.warnings)
    if json:
        print_json(result)
        return
    print_evaluated(result)
