"""The command line: the program, its commands, its tables.

In: words. Out: files, lines, and 0 or 1.
Imports everything else of `ensemble`, where it is used, so that `finblend --help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cv.lazy import lazy_names

if TYPE_CHECKING:
    from ensemble.cli.program import main, run

__getattr__ = lazy_names(__name__, {"main": "ensemble.cli.program", "run": "ensemble.cli.program"})

__all__ = ["main", "run"]
