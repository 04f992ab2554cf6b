"""Run the command line: every command, and one clear line for whatever is refused."""

from __future__ import annotations

import sys
from pathlib import Path

from cv.errors import FinblendError
from ensemble.cli.log_lines import logged_lines


@logged_lines()
def main(arguments: list[str] | None = None) -> int:
    """Run `finblend`; return 0, or 1 with one clear line on standard error."""
    import typer
    from typer.main import get_command

    from ensemble.cli.app import app
    from ensemble.project.command_log import log_command

    # filled with the project by `ensemble.cli.options.ProjectFolder`
    told: dict[str, Path] = {}
    try:
        result = get_command(app).main(args=arguments, prog_name="finblend", standalone_mode=False, obj=told)
        # typer turns an interrupt into 130 by itself
        if result == 130:
            return _refuse("interrupted; nothing is half-written")
        if not result and "project" in told:
            log_command(sys.argv[1:] if arguments is None else arguments, told["project"])
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
    from ensemble.cli.usage import told_of_usage

    return _refuse(told_of_usage(error))


def _refuse(message: str) -> int:
    print(f"finblend: {' '.join(message.splitlines())}", file=sys.stderr)
    return 1


def run() -> None:
    """The console script."""
    sys.exit(main())
