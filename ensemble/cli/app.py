"""The application and its commands, in the order of the work."""

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


# the modules register their commands on import, in the order that --help lists them
# isort: off
from ensemble.cli.commands import project as _first  # noqa: E402, F401
from ensemble.cli.commands import networks as _second  # noqa: E402, F401
from ensemble.cli.commands import blend as _third  # noqa: E402, F401
from ensemble.cli.commands import pseudo as _fourth  # noqa: E402, F401
from ensemble.cli.commands import outputs as _fifth  # noqa: E402, F401
from ensemble.cli.commands import compare as _sixth  # noqa: E402, F401
from ensemble.cli.commands import demo as _seventh  # noqa: E402, F401
