"""What the packages log, as lines on standard error while a command runs."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # looked up now: progress bars put a stream of their own in its place, which keeps lines above them
        print(f"finblend: {record.getMessage()}", file=sys.stderr)


@contextlib.contextmanager
def logged_lines() -> Iterator[None]:
    """Print what the logger `finblend` says, from INFO on."""
    logger, handler = logging.getLogger("finblend"), _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
