"""demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson
from ensemble.cli.terminal import print_json


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it; must not exist.")] = Path(
        "finblend-demo"
    ),
    individuals: Annotated[int, typer.Option(metavar="N", help="Known individuals in the catalogue.")] = 120,
    trials: Annotated[int, typer.Option(metavar="N", help="Of the tuning.")] = 60,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the painter and the tuning.")] = 0,
    json: AsJson = False,
) -> None:
    """Paint a photo catalogue, embed it with two real networks, run the whole path, score it on answers held back.

    Example: finblend demo my-demo
    """
    from ensemble.demo.demo import demonstrate

    result = demonstrate(folder, individuals=individuals, trials=trials, seed=seed, say=None if json else print)
    if json:
        print_json(result)
