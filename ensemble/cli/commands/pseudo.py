"""pseudo, merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder, Use
from ensemble.cli.terminal import print_json, print_table, progress_bars, shown_value, warn


@app.command()
def pseudo(
    folder: ProjectFolder,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The set for full; FILE-fold-K.csv for folds beside it."),
    ],
    precision: Annotated[
        float, typer.Option(metavar="P", help="Wanted share of right names out-of-fold, 0 < P < 1.")
    ] = 0.95,
    min_prob: Annotated[
        float | None, typer.Option(metavar="X", help="The rule's threshold itself, instead of --precision.")
    ] = None,
    rule: Annotated[
        str, typer.Option(metavar="confidence|agreement|gap", help="What the threshold is compared with.")
    ] = "confidence",
    use: Use = "folds",
    trials: Annotated[int, typer.Option(metavar="N", help="Per fold, for the recipe tuned without it.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="Of these trials.")] = 0,
    json: AsJson = False,
) -> None:
    """Name the test photos whose name can be trusted: one set for each fold, which never saw it, and one for full.

    Example: finblend pseudo P -o pseudo.csv --precision 0.95
    """
    from ensemble.pseudo_labels.generate import pseudo as write

    with progress_bars() as progress:
        report = write(
            folder,
            output,
            precision=precision,
            min_prob=min_prob,
            rule=rule,
            use=use,
            trials=trials,
            seed=seed,
            progress=progress,
        )
    warn(report["warnings"])
    if json:
        print_json(report)
        return
    keys = ("seen", "threshold", "rows", "share", "expected_share", "right")
    rows = [[each[key] for key in keys] for each in report["sets"]]
    print_table("Sets", ["for", "threshold", "photos", "share of test", "share expected", "right"], rows)
    held = report["held_out"]
    print(
        f"{output}: {report['rows']} photos named by the rule {rule}\n"
        f"held out, all folds: {shown_value(held['right'])} right of a share of {held['share']:.4f}"
    )
    print_drift(report["drift"])
    print(report["measured"])


@app.command()
def merge(
    folder: ProjectFolder,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What 'pseudo' wrote, or image,individual_id,conf[,species] from elsewhere."
        ),
    ],
    kind: Annotated[str, typer.Option("--as", metavar="training|gallery", help="What the names are for.")] = "training",
    min_prob: Annotated[
        float | None, typer.Option(metavar="X", help="Leave out rows of a file from elsewhere with less confidence.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Merge into the gallery though it is not shown to help.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Merge pseudo-labels as a round of their own, with a ledger of the model, rule and threshold they came from.

    Example: finblend merge P pseudo.csv --as training
    """
    from ensemble.pseudo_labels.merge import merge as join

    with progress_bars() as progress:
        report = join(folder, file, kind=kind, min_prob=min_prob, force=force, progress=progress)
    if report["other_species"]:
        warn([f"{report['other_species']} rows name a species that is not their individual's"])
    if json:
        print_json(report)
        return
    if report["effect"]:
        print(format_effect(report["effect"]))
    rows = [[seen, each["rows"]] for seen, each in report["sets"].items()]
    print_table("Sets", ["for", "photos"], rows)
    print(f"{file} is {report['round']}, for {kind} ({report['left_out']} of its rows name nobody or were left out)")
    print_drift(report["drift"])
    print(
        f"ledger: {report['folder']}/ledger.json\n"
        + (
            f"next: finblend train {folder} MODEL ... --pseudo {report['round']}"
            if kind == "training"
            else f"next: finblend tune {folder} (the gallery has changed)"
        )
    )


def format_effect(effect: dict[str, Any]) -> str:
    """What merging into the gallery does to the out-of-fold score."""
    low, high = effect["interval"]
    return (
        f"out-of-fold MAP@5 {effect['without']:.4f} without, {effect['with']:.4f} with: "
        f"{effect['difference']:+.4f} (paired, 95 % {low:+.4f} to {high:+.4f})"
    )


def print_drift(drift: dict[str, Any]) -> None:
    """How the individuals' counts grow."""
    print(
        f"drift: {shown_value(drift['top_share'])} of the photos go to the most photographed tenth of the individuals "
        f"(the mix expects {drift['top_expected']:.4f}; train {drift['top_train']:.4f}); "
        f"{drift['individuals']} individuals grow, {drift['doubled']} by more than double"
    )
    most = drift["most_grown"]
    if most:
        print(f"  most for each photo they had: {most['individual_id']}, {most['train']} + {most['pseudo']}")
