"""The application, which the modules of `ensemble.cli.commands` add their commands to."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="finblend",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Open-set photo identification: blend the embeddings of many models into ranked names, "
    "with new_individual in its right place.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from ensemble.project.version import finblend_version

        print(f"finblend {finblend_version()}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
