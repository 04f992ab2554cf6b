"""register-pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder
from ensemble.cli.terminal import counted, print_json, warn

_LEFT_OUT = {
    "leaking": "of one encounter",
    "test_gallery": "with a test photo in the gallery",
    "unlabelled": "of photos without a known individual",
}


@app.command("register-pairs")
def register_pairs(
    folder: ProjectFolder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The pair source's name.")],
    pairs: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="query,gallery,score[,second] (.csv, .parquet, .npz), or a matrix with the names of its rows and "
            "columns (.npz); queries of both splits.",
        ),
    ],
    test_pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The test photos' pairs, where they are in a file of their own.")
    ] = None,
    score: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column or array of scores (default score, similarity).")
    ] = None,
    second: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A second number of each pair (default second, where there).")
    ] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Scores are distances, 0 or more.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is registered.")] = False,
    json: AsJson = False,
) -> None:
    """Register scores of pairs of photos that another program made.

    Example: finblend register-pairs P loftr --pairs loftr.csv
    """
    from ensemble.registry.register_pairs import register_pairs as add

    result = add(
        folder,
        name,
        pairs=pairs,
        test_pairs=test_pairs,
        score=score,
        second=second,
        lower_is_better=lower_is_better,
        replace=replace,
    )
    warn(result.warnings)
    if json:
        print_json(result)
        return
    print(
        f"{name}: {counted(result.train_pairs, 'pair')} of {counted(result.train_queries, 'train photo')}, "
        f"{counted(result.test_pairs, 'pair')} of {counted(result.test_queries, 'test photo')}"
    )
    for rule, count in result.left_out.items():
        if count:
            print(f"left out: {counted(count, 'pair')} {_LEFT_OUT[rule]}")
