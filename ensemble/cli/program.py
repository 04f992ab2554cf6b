"""Run the command line: every command, and one clear line for whatever is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cv.errors import FinblendError
from ensemble.cli.log_lines import logged_lines

if TYPE_CHECKING:
    from typer.core import TyperGroup


def program() -> TyperGroup:
    """The application with all its commands, in the order of the work, as `--help` lists them."""
    from typer.core import TyperGroup
    from typer.main import get_command

    from ensemble.cli.app import app

    # each module adds its commands on import
    # isort: off
    from ensemble.cli.commands import project  # noqa: F401
    from ensemble.cli.commands import detect  # noqa: F401
    from ensemble.cli.commands import networks  # noqa: F401
    from ensemble.cli.commands import marks  # noqa: F401
    from ensemble.cli.commands import pairs  # noqa: F401
    from ensemble.cli.commands import blend  # noqa: F401
    from ensemble.cli.commands import pseudo  # noqa: F401
    from ensemble.cli.commands import outputs  # noqa: F401
    from ensemble.cli.commands import exchange  # noqa: F401
    from ensemble.cli.commands import compare  # noqa: F401
    from ensemble.cli.commands import kaggle  # noqa: F401
    from ensemble.cli.commands import demo  # noqa: F401

    # isort: on
    group = get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101 - it has several commands
    return group


@logged_lines()
def main(arguments: list[str] | None = None) -> int:
    """Run `finblend`; return 0, or 1 with one clear line on standard error."""
    import typer

    from ensemble.project.command_log import log_command

    # filled with the project by `ensemble.cli.options.ProjectFolder`
    seen: dict[str, Path] = {}
    try:
        result = program().main(args=arguments, prog_name="finblend", standalone_mode=False, obj=seen)
        # typer turns an interrupt into 130 by itself
        if result == 130:
            return _refuse("interrupted; nothing is half-written")
        if not result and "project" in seen:
            log_command(sys.argv[1:] if arguments is None else arguments, seen["project"])
        return int(result or 0)
    except FinblendError as error:
        return _refuse(str(error))
    except _usage_errors() as error:
        return _refused_usage(error)
    except typer.Abort:
        return _refuse("interrupted")
    except KeyboardInterrupt:
        return _refuse("interrupted; nothing is half-written")
    except BrokenPipeError:
        # the reader of a pipe has gone; do not let Python complain about it at exit
        sys.stdout = None
        return 1
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")


def _usage_errors() -> type[Exception]:
    """The base class of wrong usage: click's, which newer typers carry inside themselves."""
    import typer

    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _refused_usage(error: Exception) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error)
        return 0
    from ensemble.cli.usage import format_usage_error

    return _refuse(format_usage_error(error))


def _refuse(message: str) -> int:
    print(f"finblend: {' '.join(message.splitlines())}", file=sys.stderr)
    return 1


def run() -> None:
    """The console script."""
    sys.exit(main())
