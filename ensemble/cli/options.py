"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _noted(context: typer.Context, folder: Path) -> Path:
    """Tell the log of command lines which of their words is the project."""
    if isinstance(context.obj, dict):
        context.obj["project"] = folder
    return folder


ProjectFolder = Annotated[Path, typer.Argument(metavar="P", help="The project folder.", callback=_noted)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Engine = Annotated[
    str,
    typer.Option(
        metavar="here|ray|ray:ADDRESS",
        help="Where what falls apart by itself is worked on: here, or by Ray's workers, OMP_NUM_THREADS CPUs each.",
    ),
]
Use = Annotated[str, typer.Option(metavar="folds|full|both", help="Which stores of trained models name test photos.")]
NewShare = Annotated[
    str | None,
    typer.Option(
        metavar="S|FILE|estimate|raw",
        help="Share of strangers expected among the test photos, 0 <= S < 1; a table species,new_share (* for the "
        "rest); estimated from the test photos' scores; or raw, as out-of-fold. Default: the tuned blend's; of models, "
        "and where nothing is tuned: raw.",
    ),
]
GalleryMix = Annotated[
    str,
    typer.Option(
        metavar="E|raw",
        help="Known test photos come in proportion to (gallery photos of their individual)^E; 'raw': as out-of-fold.",
    ),
]

LeaveOut = Annotated[
    str | None,
    typer.Option(
        metavar="encounter|fold",
        help="What a train photo does not meet when it is scored: its encounter, or its fold. Default: "
        "the encounter where all models are frozen and none is whitened, else the fold.",
    ),
]

Neighbours = Annotated[
    str,
    typer.Option(
        metavar="exact|approximate",
        help="How the photos that are compared are found; approximate: for catalogues where exact takes hours, by an "
        "index, with what it passes over measured on a sample.",
    ),
]


def gallery_exponent(text: str) -> float | None:
    """Parse --gallery-mix."""
    if text == "raw":
        return None
    try:
        return float(text)
    except ValueError:
        from cv.errors import FinblendError

        raise FinblendError(f"--gallery-mix must be a number or 'raw', but got '{text}'") from None
