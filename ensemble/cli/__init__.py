"""The command line. Heavy libraries are imported where they are used, so that `finblend --help` answers at once."""

from __future__ import annotations

import sys

from cv.errors import FinblendError


def main(arguments: list[str] | None = None) -> int:
    """Run `finblend`; return 0, or 1 with one clear line on standard error."""
    import click
    from typer.main import get_command

    from ensemble.cli.app import app

    try:
        result = get_command(app).main(args=arguments, prog_name="finblend", standalone_mode=False)
        return int(result or 0)
    except FinblendError as error:
        return _refuse(str(error))
    except click.ClickException as error:
        return _refuse(error.format_message())
    except click.exceptions.Abort:
        return _refuse("interrupted")
    except KeyboardInterrupt:
        return _refuse("interrupted; nothing is half-written")
    except BrokenPipeError:
        # the reader of a pipe has gone; do not let Python complain about it at exit
        sys.stdout = None
        return 1


def _refuse(message: str) -> int:
    print(f"finblend: {' '.join(message.split())}", file=sys.stderr)
    return 1


def run() -> None:
    """The console script."""
    sys.exit(main())
